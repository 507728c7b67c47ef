"""The masked autoencoder of a joint transformer: what it is shown, what it is asked, and that copies differ."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from config.errors import InputError
from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.views.views import TrainingViews, make_views
from optimizers import Pace, decayed_parameters
from tasks.masked import MaskedTask
from tasks.task import MEANS, SHOWN, StepContext

MakeConfig = Callable[..., Config]
JOINT = ("task=masked", "encoder=joint")


def make_task(tiny_config: MakeConfig, *overrides: str) -> MaskedTask:
    torch.manual_seed(0)
    return MaskedTask(tiny_config(*JOINT, *overrides)).train()


def make_video(batch: int = 2, frames: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(batch, frames, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def batch_of(*videos: Tensor, first_row: int = 0) -> TrainingViews:
    batch, frames = videos[0].shape[:2]
    frames_BT = torch.arange(frames).expand(batch, frames)
    return TrainingViews(videos, (frames_BT,) * len(videos), torch.arange(first_row, first_row + batch))


def step(seed: int = 0) -> StepContext:
    return StepContext(torch.Generator().manual_seed(seed))


def loss_of(task: MaskedTask, batch: TrainingViews, seed: int = 0) -> Tensor:
    return task.losses(batch, step(seed))["masked"]["pixels"]


@pytest.mark.parametrize("mask", ["random", "tube", "frame", "causal"])
@pytest.mark.parametrize("cls", ["true", "false"])
def test_everything_is_trained_for_every_mask(tiny_config: MakeConfig, mask: str, cls: str) -> None:
    task = make_task(tiny_config, f"masked.mask={mask}", f"joint.cls_token={cls}")
    loss_of(task, batch_of(make_video())).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in task.parameters())
    group = task.parameter_groups()["masked"]
    assert {id(p) for p in group.all()} == {id(p) for p in task.parameters()}


def test_the_config_decides_over_ratio_and_cls_token(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Voltron's config had both, and its model got neither."""
    kept = []
    task = make_task(tiny_config, "masked.mask_ratio=0.9", "joint.cls_token=true")
    embed = task.network.embed

    def noted(video: Tensor, keep: Tensor) -> Tensor:
        kept.append(keep.shape[1])
        return embed(video, keep)

    monkeypatch.setattr(task.network, "embed", noted)
    loss_of(task, batch_of(make_video()))
    assert kept == [2]  # of 18, 16 are hidden
    assert task.network.cls_D is not None
    assert make_task(tiny_config).network.cls_D is None


def test_hidden_pixels_reach_the_loss_as_targets_alone(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, video = make_task(tiny_config), make_video()
    shown = task.pixels_beside(video)[SHOWN].isfinite()
    assert shown.float().mean().item() == pytest.approx(0.5)
    before = task.predicted_pixels(video)
    changed = task.predicted_pixels(torch.where(shown, video, 5 * make_video(seed=2)))
    assert before is not None
    assert changed is not None
    assert torch.equal(before[shown], video[shown])
    monkeypatch.setattr(type(task.targets), "inverted", lambda _, predicted, video: predicted)
    one, other = (task.predicted_pixels(each) for each in (video, torch.where(shown, video, make_video(seed=2))))
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)  # but for mean and contrast of the true patches, nothing is known of them


def test_masks_are_functions_of_the_step_the_window_and_the_copy(tiny_config: MakeConfig) -> None:
    task, video = make_task(tiny_config, "masked.repeats=2"), make_video(batch=1)
    same = loss_of(task, batch_of(video, video))
    assert torch.equal(same, loss_of(task, batch_of(video, video)))
    others = [loss_of(task, batch_of(video, video), seed=1), loss_of(task, batch_of(video, video, first_row=1))]
    assert len({value.item() for value in (same, *others)}) == 3
    single = make_task(tiny_config)
    alone = loss_of(single, batch_of(video))
    assert not torch.isclose(same, alone, rtol=1e-5)  # the second copy has another mask, else the mean were the same
    late = TrainingViews((video,), (torch.arange(6)[None] + 7,), torch.zeros(1, dtype=torch.int64))
    assert loss_of(single, late) != alone  # another window of the video


def test_a_batch_is_the_mean_of_its_windows(tiny_config: MakeConfig) -> None:
    task, video = make_task(tiny_config), make_video(batch=3)
    whole = loss_of(task, batch_of(video))
    parts = [loss_of(task, batch_of(video[row : row + 1], first_row=row)) for row in range(3)]
    assert whole.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-5)


def test_copies_have_their_own_crops(tiny_config: MakeConfig) -> None:
    crop = "augmentation.crop={probability: 1.0, scale: [0.3, 0.6]}"
    config = tiny_config(*JOINT, "masked.repeats=3", crop)
    task = MaskedTask(config)
    pixels = torch.randint(0, 256, (2, 6, 3, 16, 24), dtype=torch.uint8)
    batch = Batch(pixels, torch.arange(2), torch.arange(6).expand(2, 6), [])
    views = make_views(batch, task.views, config, 0, 0)
    assert len(views.videos) == 3
    assert not any(torch.equal(views.videos[0], other) for other in views.videos[1:])
    assert task.view_names == ("copy 1", "copy 2", "copy 3")
    plain = MaskedTask(tiny_config(*JOINT, "masked.repeats=3", "masked.augment=false", crop))
    as_they_are = make_views(batch, plain.views, config, 0, 0).videos
    assert all(torch.equal(as_they_are[0], other) for other in as_they_are[1:])


def test_an_image_is_masked_as_one_time(tiny_config: MakeConfig) -> None:
    """R-MVP: patches and CLS token of single frames; its own feature mode failed."""
    image = ("window.length=1", "groups=[backbone,space]", "hierarchy.frames_per_clip=1", "joint.tubelet=1")
    task = make_task(tiny_config, *image, "joint.cls_token=true", "joint.features=cls", "joint.positions=2d")
    video = make_video(frames=1)
    loss_of(task, batch_of(video)).backward()
    features, tokens = task.network.features_and_tokens(video)
    assert features["space"].shape == (2, 1, 16)
    assert tokens["space"].shape == (2, 1, 6, 16)
    predicted = task.predicted_pixels(video)
    assert predicted is not None
    assert predicted.shape == video.shape


def test_validation_masks_are_fixed_and_errors_tell_windows_apart(tiny_config: MakeConfig) -> None:
    task, video = make_task(tiny_config), make_video(batch=4)
    training = task.training
    found = task.prediction_errors(video, torch.Generator().manual_seed(0))
    assert found == task.prediction_errors(video, torch.Generator().manual_seed(1))
    own, other = found["clip"]["down"]
    assert own != other
    assert task.training == training
    assert task.prediction_errors(video[:1], torch.Generator()) == {}
    means = task.pixels_beside(video)[MEANS]
    assert means.isfinite().all()


def test_it_learns_to_complete_what_it_is_shown(tiny_config: MakeConfig) -> None:
    """What is shown of two patterns says what is hidden: the error falls far below that against the other one."""
    task = make_task(tiny_config, "masked.augment=false")
    video = torch.randn(2, 1, 3, 8, 8).repeat(1, 6, 1, 2, 3)
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-2)
    for number in range(60):
        optimizer.zero_grad()
        loss_of(task, batch_of(video), seed=number).backward()
        optimizer.step()
    own, other = task.prediction_errors(video, torch.Generator())["clip"]["down"]
    assert own < 0.3 * other


def test_only_weights_of_linear_layers_decay(tiny_config: MakeConfig) -> None:
    """Not tokens, norms, biases and LayerScale; Voltron's optimizer let tokens and positions decay."""
    task = make_task(tiny_config, "joint.cls_token=true", "joint.layer_scale=0.1")
    decayed = decayed_parameters(task)
    for name, parameter in task.named_parameters():
        is_matrix = name.endswith("weight") and "norm" not in name
        assert (id(parameter) in decayed) == is_matrix, name
        assert is_matrix == (parameter.ndim == 2)


def test_the_learning_rate_is_the_base_rate_for_the_clips_of_a_step(tiny_config: MakeConfig) -> None:
    rule = (
        "optimizer={name: adamw, lr: 1.0, base_lr: 0.0016, nominal_batch: 256, weight_decay: 0.05, betas: [0.9, 0.95]}"
    )
    config = tiny_config(*JOINT, rule, "batch_size=8", "num_iters_grad_accum=2", "masked.repeats=4")
    assert config.learning_rate == pytest.approx(0.0016 * 8 * 2 * 4 / 256)
    assert tiny_config("optimizer={lr: 0.25}").learning_rate == 0.25
    pace = Pace(config, ("masked",), steps_per_epoch=40, total_steps=400)
    rates = [pace.learning_rate(number) for number in range(400)]
    warmup = 100
    assert max(rates) == rates[warmup] == pytest.approx(config.learning_rate)
    changes = [later - earlier for earlier, later in pairwise(rates)]
    assert changes[:warmup] == pytest.approx([config.learning_rate / (warmup + 1)] * warmup)
    assert max(map(abs, changes)) < 1.01 * changes[0]  # no cliff after it


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("encoder=s3d", "window.length=8"), "s3d has no patches that masked could hide; encoder="),
        (("masked.mask_ratio=0.05",), "of 18 tubelets, 0.05 is 0"),
        (("masked.mask=causal", "masked.mask_ratio=0.3"), "of 3 times, 0.3 is 0"),
        (("masked.decoder.heads=5",), "5 heads cannot share a width of 12; masked.decoder.heads=4 would fit"),
        (("joint.heads=3",), "3 heads cannot share a width of 16; joint.heads=2 would fit"),
        (("joint.tubelet=4",), "6 frames cannot be cut into tubelets of 4"),
        (("joint.patch_size=5",), "frame_size and joint.patch_size disagree: height 16 is not divisible by 5"),
        (("joint.features=cls",), "there is no CLS token; joint.cls_token=true would fit"),
        (("encoder=hierarchical", "masked.mask=frame"), "frame hides whole frames"),
        (("encoder=hierarchical", "hierarchy.stem=cnn"), "have seen the pixels of their neighbours"),
        (("encoder=hierarchical", "groups=[backbone,space,time,clip]"), "masked.isolation=end2end would fit"),
        (("task=hierarchical",), "joint has no levels for hierarchical"),
        (("masked.maks=tube",), "did you mean masked.mask?"),
    ],
)
def test_what_cannot_be_masked_is_refused(tiny_config: MakeConfig, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as info:
        tiny_config(*JOINT, *overrides)
    assert said in str(info.value)
    assert "\n" not in str(info.value)


def test_autocast_leaves_the_loss_in_float32(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "joint.norm=rms", "joint.mlp=swiglu", "joint.layer_scale=0.1")
    found: list[Any] = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(loss_of(task, batch_of(make_video())))
    assert found[1].dtype == torch.float32
    assert found[1].item() == pytest.approx(found[0].item(), rel=0.02)
