"""A run's encoder with captions: features of the published shapes, scores of captions, from one's own checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from config.errors import InputError
from data_utils.views.normalise import normalise
from language.text_encoder import TextEncoder
from runs.checkpoint import save_encoder
from tasks.language_masked import LanguageMaskedTask
from tasks.pretrained import load_encoder
from tasks.pretrained_language import LanguageEncoder
from tests.tasks.language_cases import FRAMES, TEXTS, MakeConfig, make_batch, make_task, overrides, step

TASKS = ("language_masked", "dual", "generative")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captions")


@torch.enable_grad()
def trained(make: MakeConfig, name: str, cache: Path, run: Path, *more: str) -> tuple[LanguageMaskedTask, Path]:
    """A task after a few steps, and the folder that its run has left."""
    task = make_task(make, name, cache, *more)
    assert isinstance(task, LanguageMaskedTask)
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-2)
    for seed in range(3):
        torch.stack(list(task.losses(make_batch(FRAMES[name]), step(seed))[name].values())).sum().backward()
        optimizer.step()
    (run / "checkpoints").mkdir(parents=True)
    config = make(*overrides(name, cache, *more))
    save_encoder(task.encoder.state_dict(), {"config": config.model_dump(), "step": 3}, run / "checkpoints")
    return task.eval(), run


def loaded(run: Path) -> LanguageEncoder:
    encoder = load_encoder(run)
    assert isinstance(encoder, LanguageEncoder)
    return encoder


def pixels(frames: int, batch: int = 3) -> Tensor:
    shape = (batch, frames, 3, 16, 24)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


@pytest.mark.parametrize("name", TASKS)
@torch.no_grad()
def test_features_are_those_of_the_task_that_was_trained(
    tiny_config: MakeConfig, name: str, cache: Path, tmp_path: Path
) -> None:
    task, run = trained(tiny_config, name, cache, tmp_path / "run")
    encoder, video = loaded(run), pixels(FRAMES[name])
    normalised = normalise(video, *tiny_config().pixels)
    given = task.captions.cache.batch(TEXTS[:3])
    expected = task.network.represent(normalised, given.states_BLT, given.shown_BL)
    assert expected.shape == (3, 6 + 12, 16)
    assert torch.equal(encoder.represent(video, TEXTS[:3]), expected)
    assert torch.equal(encoder.represent(video, TEXTS[:3], "visual"), expected[:, :6])
    assert torch.equal(encoder.represent(video, TEXTS[0])[0], expected[0])  # one caption for all
    assert torch.equal(encoder.represent(video), encoder.represent(video, ""))
    assert torch.equal(encoder(video)["clip"][:, 0], encoder.represent(video, mode="visual").mean(dim=1))
    assert not encoder.training
    assert encoder.represent(video.float() / 255, TEXTS[0]).shape == (3, 18, 16)


@torch.no_grad()
def test_at_the_published_size_there_are_196_patches_and_20_words(
    tiny_config: MakeConfig, cache: Path, tmp_path: Path
) -> None:
    sizes = ("frame_size=[224,224]", "joint.patch_size=16", "language_masked.text.max_tokens=20")
    make_task(tiny_config, "language_masked", cache)
    config = tiny_config(*overrides("language_masked", cache, *sizes))
    task = make_task(tiny_config, "language_masked", cache, *sizes)
    (tmp_path / "checkpoints").mkdir()
    save_encoder(task.encoder.state_dict(), {"config": config.model_dump(), "step": 0}, tmp_path / "checkpoints")
    encoder = loaded(tmp_path)
    picture = torch.zeros(2, 1, 3, 240, 320, dtype=torch.uint8)
    assert encoder.represent(picture, TEXTS[0]).shape == (2, 216, 16)
    assert encoder.represent(picture, TEXTS[0], "visual").shape == (2, 196, 16)


def test_visual_features_need_no_text_encoder(
    tiny_config: MakeConfig, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = trained(tiny_config, "dual", cache, tmp_path / "run")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    encoder = loaded(run)
    assert encoder.represent(pixels(2)).shape == (3, 18, 16)
    with pytest.raises(InputError, match="install it: pip install transformers"):
        encoder.represent(pixels(2), "a cup")


def test_another_text_encoder_is_told(tiny_config: MakeConfig, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    encoder = TextEncoder("tiny", 12)
    encoder.tokenizer.save_pretrained(folder)
    encoder.model.save_pretrained(folder)
    _, run = trained(tiny_config, "dual", cache, tmp_path / "run", f"dual.text.encoder={folder}")
    assert loaded(run).represent(pixels(2), "a cup").shape == (3, 18, 16)
    encoder.model.embeddings.word_embeddings.weight[5] += 1
    encoder.model.save_pretrained(folder)
    with pytest.raises(InputError, match="is not the text encoder that this run was trained with"):
        loaded(run).represent(pixels(2), "a cup")


@torch.no_grad()
def test_scores_are_log_likelihoods_of_words(tiny_config: MakeConfig, cache: Path, tmp_path: Path) -> None:
    task, run = trained(tiny_config, "generative", cache, tmp_path / "run")
    encoder, video = loaded(run), pixels(2)
    candidates = [TEXTS[0], TEXTS[1], TEXTS[3], TEXTS[0]]
    scores = encoder.score(video, candidates)
    assert scores.shape == (3, 4)
    assert torch.equal(scores[:, 0], scores[:, 3])
    assert len(set(scores[0].tolist())) == 3
    normalised = normalise(video, *tiny_config().pixels)
    given = task.captions.cache.batch(candidates)
    words = task.captions.cache.encoder.embed(given.ids_BL)
    assert task.network.decoder is not None
    for window in range(3):
        tokens = task.network.encode(normalised[window : window + 1]).tokens_BKD
        for number in range(3):
            logits = task.network.decoder(tokens, torch.arange(12)[None], 12, words[number : number + 1])[1][0]
            count = int(given.shown_BL[number].sum())
            logs = logits.double().log_softmax(dim=-1)
            following = given.ids_BL[number, 1 : count + 1]  # all but the first word, and what comes after the last
            expected = sum(float(logs[place, word]) for place, word in enumerate(following)) / len(following)
            assert scores[window, number].item() == pytest.approx(expected, rel=1e-4)


def test_wrong_captions_and_tasks_are_one_line(tiny_config: MakeConfig, cache: Path, tmp_path: Path) -> None:
    _, run = trained(tiny_config, "dual", cache, tmp_path / "run")
    encoder = loaded(run)
    with pytest.raises(InputError, match="score: task dual learns to write no captions; task generative does"):
        encoder.score(pixels(2), ["a cup"])
    with pytest.raises(InputError, match="captions: got 2 for 3 windows; give one for each, or a single text"):
        encoder.represent(pixels(2), ["a cup", "a dog"])
    with pytest.raises(InputError, match="captions: expected texts, got a int"):
        encoder.represent(pixels(2), [1, 2, 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="got 1 frames in"):
        encoder.represent(pixels(1), "a cup")


def test_loading_leaves_training_as_it_is(tiny_config: MakeConfig, cache: Path, tmp_path: Path) -> None:
    """The published loader changed what calling the class means, so that nothing could train afterwards."""
    task, run = trained(tiny_config, "generative", cache, tmp_path / "run")
    batch = make_batch(2)
    before = task.losses(batch, step())["generative"]
    loaded(run).represent(pixels(2), "a cup")
    after = task.losses(batch, step())["generative"]
    assert all(torch.equal(before[term], after[term]) for term in before)
