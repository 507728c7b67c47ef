"""V-Cond, V-Dual and V-Gen: what is read, what is written, and that captions stay what they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from architecture.masking import Mask
from config.errors import InputError
from tasks.encoder import check_start
from tasks.generative import GenerativeTask
from tasks.language_masked import LanguageMaskedTask, chosen
from tests.tasks.language_cases import (
    FRAMES,
    TEXTS,
    MakeConfig,
    catalog,
    make_batch,
    make_task,
    overrides,
    step,
)

TASKS = ("language_masked", "dual", "generative")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captions")


def made(make: MakeConfig, task: str, cache: Path, *more: str, texts: list[str] | None = None) -> LanguageMaskedTask:
    found = make_task(make, task, cache, *more, texts=texts)
    assert isinstance(found, LanguageMaskedTask)
    return found


def read_by(task: LanguageMaskedTask, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The states, what of them is shown, and the patches of all later calls of the encoder."""
    encode, calls = task.network.encode, []

    def noted(video: Tensor, states: Tensor, shown: Tensor, keep: Tensor) -> Any:
        calls.append((states, shown, keep))
        return encode(video, states, shown, keep)

    monkeypatch.setattr(task.network, "encode", noted)
    return calls


# --------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("cls", ["true", "false"])
def test_everything_is_trained(tiny_config: MakeConfig, name: str, cls: str, cache: Path) -> None:
    if name == "generative" and cls == "true":
        cls = "false"
    task = made(tiny_config, name, cache, f"joint.cls_token={cls}")
    terms = task.losses(make_batch(FRAMES[name]), step())[name]
    torch.stack(list(terms.values())).sum().backward()
    assert [p for p, weight in task.named_parameters() if weight.grad is None or not weight.grad.any()] == []
    group = task.parameter_groups()[name]
    assert {id(p) for p in group.all()} == {id(p) for p in task.parameters()}
    assert len(group.all()) == len({id(p) for p in group.all()})
    expected = {"language_masked": {"pixels"}, "dual": {"first_frame", "later_frame"}}
    assert set(terms) == expected.get(name, {"first_frame", "later_frame", "caption"})


@pytest.mark.parametrize("name", TASKS)
def test_a_step_is_a_function_of_its_generator(tiny_config: MakeConfig, name: str, cache: Path) -> None:
    task, batch = made(tiny_config, name, cache, f"{name}.dropout=0.3"), make_batch(FRAMES[name])
    first, again, other = (task.losses(batch, step(seed))[name] for seed in (0, 0, 1))
    assert all(torch.equal(first[term], again[term]) for term in first)
    assert any(not torch.equal(first[term], other[term]) for term in first)


@pytest.mark.parametrize("name", TASKS)
def test_captions_are_read_and_change_what_is_predicted(tiny_config: MakeConfig, name: str, cache: Path) -> None:
    options = ("generative.gen_ratio=0",) if name == "generative" else ()
    task = made(tiny_config, name, cache, *options)
    other = made(tiny_config, name, cache, *options, texts=[*TEXTS[:3], "a dog jumps"])
    batch = make_batch(FRAMES[name], rows=(3,))
    terms, others = (each.losses(batch, step())[name] for each in (task, other))
    assert all(not torch.equal(terms[term], others[term]) for term in terms if term != "caption")


def test_the_loss_is_that_of_hidden_pixels_computed_otherwise(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, "dual", cache).eval()
    batch = make_batch(2)
    masks: list[Mask] = []
    drawn = task._drawn_mask
    task._drawn_mask = lambda *given: masks.append(drawn(*given)) or masks[-1]  # type: ignore[method-assign,func-returns-value]
    terms = task.losses(batch, step())["dual"]
    captions = task.captions.of_rows(batch.rows_B)
    predicted = task._predicted(batch.videos[0], masks[0], None, captions.states_BLT, captions.shown_BL).double()
    frames = batch.videos[0].double()
    for frame, term in enumerate(("first_frame", "later_frame")):
        errors = []
        for window in range(4):
            for row in range(2):
                for column in range(3):
                    number = 6 * frame + 3 * row + column
                    if number in masks[0].keep_BK[window]:
                        continue
                    patch = frames[window, frame, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                    wanted = ((patch - patch.mean()) / (patch.var() + 1e-6).sqrt()).permute(1, 2, 0).flatten()
                    errors.append((predicted[window, number] - wanted).square().mean())
        assert terms[term].item() == pytest.approx(torch.stack(errors).mean().item() / 2, rel=1e-4)


@pytest.mark.parametrize("name", ["dual", "generative"])
def test_one_mask_is_for_both_frames_and_each_window_has_its_own(
    tiny_config: MakeConfig, name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = made(tiny_config, name, cache)
    calls = read_by(task, monkeypatch)
    batch = make_batch(2, rows=(0,) * 12)
    frames = torch.stack([torch.zeros(12, dtype=torch.int64), torch.arange(12)], dim=1)  # pairs with one first frame
    task.losses(type(batch)(batch.videos, (frames,), batch.rows_B), step())
    keep = calls[0][2]
    assert keep.shape == (12, 4)  # a quarter of 6 places, rounded up, twice
    assert torch.equal(keep[:, 2:], keep[:, :2] + 6)
    assert len({tuple(row) for row in keep.tolist()}) > 4


def test_of_196_patches_49_are_seen(tiny_config: MakeConfig, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("frame_size=[224,224]", "joint.patch_size=16", "language_masked.mask_ratio=0.75")
    task = made(tiny_config, "language_masked", cache, *options)
    calls = read_by(task, monkeypatch)
    batch = make_batch(1)
    video = torch.randn(4, 1, 3, 224, 224)
    task.losses(type(batch)((video,), batch.frames, batch.rows_B), step())
    assert calls[0][2].shape == (4, 49)
    assert task.network.joint.encode(torch.randn(1, 49, 16), torch.randn(1, 20, 16)).tokens_BKD.shape[1] == 49


# --------------------------------------------------------------------------------------------------- what is read


def test_dropout_empties_captions_for_a_step_and_never_for_good(
    tiny_config: MakeConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = made(tiny_config, "language_masked", cache, "language_masked.dropout=0.5")
    calls = read_by(task, monkeypatch)
    batch = make_batch(1)
    before = task.captions.of_rows(batch.rows_B)
    for seed in range(6):
        task.losses(batch, step(seed))
    lengths = torch.stack([shown.sum(dim=1) for _, shown, _ in calls])
    full = before.shown_BL.sum(dim=1)
    assert ((lengths == 1) | (lengths == full)).all()
    assert (lengths[:, [0, 1, 3]] == 1).sum() in range(4, 14)
    no_words, _ = task.network.no_words(1)
    for states, shown, _ in calls:
        for row in range(4):
            expected = no_words[0] if shown[row].sum() == 1 else before.states_BLT[row]
            assert torch.equal(states[row], expected)
    after = task.captions.of_rows(batch.rows_B)
    assert torch.equal(after.states_BLT, before.states_BLT)
    assert torch.equal(after.ids_BL, before.ids_BL)
    assert torch.equal(after.shown_BL, before.shown_BL)


@pytest.mark.parametrize(("share", "counts"), [(0.0, {0}), (1.0, {5}), (0.5, {2, 3}), (0.4, {2})])
def test_a_share_of_a_batch_is_that_share_on_average(share: float, counts: set[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([chosen(share, 5, generator) for _ in range(400)])
    assert set(drawn.sum(dim=1).tolist()) == counts
    assert float(drawn.float().mean()) == pytest.approx(share, abs=0.03)
    assert drawn.float().mean(dim=0).tolist() == pytest.approx([share] * 5, abs=0.1)


# -------------------------------------------------------------------------------------------------- what is written


def test_windows_either_read_their_caption_or_write_it(
    tiny_config: MakeConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = made(tiny_config, "generative", cache)
    calls = read_by(task, monkeypatch)
    batch = make_batch(2, rows=(0, 1, 3, 0))
    losses, measured = [], []
    for seed in range(8):
        context = step(seed)
        losses.append(float(task.losses(batch, context)["generative"]["caption"].detach()))
        measured.append(float(context.measures["perplexity"]))
    lengths = torch.stack([shown.sum(dim=1) for _, shown, _ in calls])
    assert ((lengths == 1).sum(dim=1) == 2).all()  # half of a batch, which ones differs
    assert len({tuple(row) for row in (lengths == 1).tolist()}) > 2
    assert measured == pytest.approx([math.exp(loss / 0.5) for loss in losses], rel=1e-4)
    assert losses[0] / 0.5 == pytest.approx(math.log(286), rel=0.2)  # nothing is learned yet


def test_only_captions_that_are_written_count(tiny_config: MakeConfig, cache: Path) -> None:
    options = ("generative.gen_ratio=0",)
    context = step()
    terms = made(tiny_config, "generative", cache, *options).losses(make_batch(2), context)["generative"]
    assert terms["caption"].item() == 0
    assert context.measures == {}
    silent = made(tiny_config, "generative", cache, "generative.gen_ratio=1", texts=[*TEXTS[:2], "", "", "a cup"])
    assert silent.losses(make_batch(2, rows=(2, 2)), step())["generative"]["caption"].item() == 0
    weighted = made(tiny_config, "generative", cache, "generative.gen_ratio=1", "generative.language_weight=2")
    usual = made(tiny_config, "generative", cache, "generative.gen_ratio=1")
    found, expected = (float(each.losses(make_batch(2), step())["generative"]["caption"]) for each in (weighted, usual))
    assert found == pytest.approx(4 * expected, rel=1e-5)


def test_what_is_written_is_learned(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, "generative", cache, "generative.gen_ratio=1")
    optimizer = torch.optim.Adam(task.parameters(), lr=3e-3)
    batch = make_batch(2, rows=(0, 1, 3))
    first = last = 0.0
    for number in range(60):
        context = step(number)
        loss = torch.stack(list(task.losses(batch, context)["generative"].values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = float(context.measures["perplexity"])
        first = first or last
    assert first > 150
    assert last < 30


def test_the_decoder_is_kept_with_the_encoder_and_once(tiny_config: MakeConfig, cache: Path) -> None:
    task = made(tiny_config, "generative", cache)
    assert isinstance(task, GenerativeTask)
    assert any(name.startswith("decoder.to_words") for name in task.encoder.state_dict())
    assert len(task.state_dict()) == len(task.network.state_dict())


# ------------------------------------------------------------------------------------------------ monitors, pictures


@pytest.mark.parametrize("name", TASKS)
def test_monitors_and_pictures_need_no_captions(tiny_config: MakeConfig, name: str, cache: Path) -> None:
    task, video = made(tiny_config, name, cache), make_batch(FRAMES[name]).videos[0]
    errors = task.prediction_errors(video, torch.Generator())["clip"]["down"]
    assert all(0.5 < error < 3 for error in errors)
    assert errors == task.prediction_errors(video, torch.Generator())["clip"]["down"]  # always the same masks
    pixels = task.predicted_pixels(video)
    assert pixels is not None
    assert pixels.shape == video.shape
    assert 0.3 < float((pixels == video).float().mean()) < 0.7  # what was shown is as it was
    assert task.training


# ----------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        (
            "language_masked",
            "window.length=2",
            "sees 1 frame at once, not 2; window.length=1 would fit",
        ),
        ("dual", "window.length=5", "dual sees 2 frames at once, not 5; window.length=2 would fit"),
        ("dual", "joint.tubelet=2", "dual sees single frames, so a tubelet has one; joint.tubelet=1 would fit"),
        ("dual", "dual.mask=random", "which is `tube`, not `random`; dual.mask=tube would fit"),
        ("generative", "encoder=hierarchical", "generative needs patches that see words, which hierarchical has not"),
        ("language_masked", "language_masked.mask_ratio=0.1", "and language_masked.mask_ratio disagree: of 6"),
        ("generative", "generative.gen_ratio=1.5", "generative.gen_ratio"),
        ("dual", "dual.text.max_tokens=2", "dual.text.max_tokens"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    tiny_config: MakeConfig, cache: Path, name: str, override: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        tiny_config(*overrides(name, cache, override))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generative.text.dim=65", "text.dim: tiny has states of width 64, not 65; set that"),
        ("generative.vocabulary=300", "generative.vocabulary: tiny has 286 words, not 300; set that"),
        ("generative.text.encoder=/none", "text.encoder: /none is no text encoder on this machine"),
        ("generative.text.captions=words", "no train video has a caption in 'words'; name the column"),
    ],
)
def test_a_text_encoder_or_captions_of_another_kind_are_one_line(
    tiny_config: MakeConfig, cache: Path, override: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        make_task(tiny_config, "generative", cache, override)
    assert str(error.value).startswith(message)


def test_videos_without_captions_are_counted(
    tiny_config: MakeConfig, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_task(tiny_config, "language_masked", cache)
    assert "1 of 4 train videos have no caption" in caplog.text
    with pytest.raises(InputError, match="no train video has a caption in 'caption'"):
        make_task(tiny_config, "language_masked", cache, texts=["", ""])
    assert catalog().annotations["caption"].is_known.tolist() == [True, True, False, True]


def test_a_config_without_captions_is_refused_before_data_is_opened(tiny_config: MakeConfig, cache: Path) -> None:
    with pytest.raises(InputError, match=r"task dual needs captions: set dataset\.annotations=\{caption: "):
        check_start(tiny_config(*overrides("dual", cache)))
    check_start(tiny_config(*overrides("dual", cache, "dataset.annotations={caption: captions}")))
