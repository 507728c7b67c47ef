"""The masked hierarchy keeps both promises: what crosses frames, and what a level's loss moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor

from config.schema import Config
from data_utils.views.views import TrainingViews
from tasks.masked_hierarchy import MaskedHierarchyTask
from tasks.task import MEANS, SHOWN, StepContext

MakeConfig = Callable[..., Config]
# Six frames in three clips of two.
JOINED = {"space": 1, "time": 2, "clip": 6}


def make_task(tiny_config: MakeConfig, *overrides: str) -> MaskedHierarchyTask:
    torch.manual_seed(0)
    return MaskedHierarchyTask(tiny_config("task=masked", *overrides)).train()


def make_video(batch: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def losses_of(task: MaskedHierarchyTask, *videos: Tensor, seed: int = 0) -> dict[str, Tensor]:
    rows_B = torch.arange(len(videos[0]))
    frames_BT = torch.arange(6).expand(len(videos[0]), 6)
    batch = TrainingViews(videos, (frames_BT,) * len(videos), rows_B)
    losses = task.losses(batch, StepContext(torch.Generator().manual_seed(seed)))
    return {level: terms["pixels"] for level, terms in losses.items()}


@pytest.mark.parametrize("mask", ["random", "tube"])
@pytest.mark.parametrize("causal", ["true", "false"])
def test_a_prediction_knows_of_the_frames_that_its_level_joins_and_of_no_hidden_pixel(
    tiny_config: MakeConfig, mask: str, causal: str
) -> None:
    task = make_task(tiny_config, f"masked.mask={mask}", f"hierarchy.space.causal_mask={causal}")
    task.hierarchy.isolation = "end2end"  # derivatives have to cross levels to show a leak
    task.settings = task.settings.model_copy(update={"isolation": "end2end"})
    video = make_video().requires_grad_()
    drawn = task.fixed_mask(video)
    predicted = task.predicted(video, drawn, hidden_alone=True)
    shown = task.pixels_beside(video.detach())[SHOWN].isfinite()
    assert list(predicted) == ["space", "time", "clip"]
    for level, predicted_FMD in predicted.items():
        for number in (0, 3, 7):  # frames of both windows
            scalar = predicted_FMD[number] @ torch.randn(predicted_FMD.shape[-1])
            (gradient,) = torch.autograd.grad(scalar.sum(), video, retain_graph=True)
            depends_BT = (gradient != 0).flatten(2).any(dim=2)
            first = number % 6 // JOINED[level] * JOINED[level]
            expected = torch.zeros(2, 6).bool()
            expected[number // 6, first : first + JOINED[level]] = True
            assert torch.equal(depends_BT, expected), level
            assert not gradient[~shown].any()


@pytest.mark.parametrize("isolation", ["strict", "overlap", "end2end"])
def test_the_loss_of_a_level_moves_what_the_isolation_lets_it_reach(tiny_config: MakeConfig, isolation: str) -> None:
    task = make_task(tiny_config, f"masked.isolation={isolation}")
    losses, levels = losses_of(task, make_video()), ["space", "time", "clip"]
    groups = task.parameter_groups()
    reach = {"strict": 1, "overlap": 2, "end2end": 3}[isolation]
    for number, level in enumerate(levels):
        task.zero_grad()
        losses[level].backward(retain_graph=True)
        moved = {name for name in levels if any(p.grad is not None and p.grad.any() for p in groups[name].parameters)}
        assert moved == set(levels[max(0, number + 1 - reach) : number + 1])
        decoders = {
            name for name in levels if any(p.grad is not None and p.grad.any() for p in groups[name].predictors)
        }
        assert decoders == {level}


def test_together_the_losses_train_every_parameter(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    torch.stack(list(losses_of(task, make_video()).values())).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in task.parameters())
    grouped = [id(p) for group in task.parameter_groups().values() for p in group.all()]
    assert sorted(grouped) == sorted(id(p) for p in task.parameters())


@pytest.mark.parametrize("mask", ["random", "tube"])
def test_every_frame_has_as_many_hidden_patches(tiny_config: MakeConfig, mask: str) -> None:
    task, video = make_task(tiny_config, f"masked.mask={mask}", "masked.mask_ratio=0.7"), make_video(batch=5)
    hidden_BTP = task.fixed_mask(video).hidden().unflatten(0, (5, 6))
    assert (hidden_BTP.sum(dim=2) == 4).all()  # of 6
    same = torch.equal(hidden_BTP, hidden_BTP[:, :1].expand_as(hidden_BTP))
    assert same == (mask == "tube")


def test_masks_are_functions_of_the_step_and_the_window(tiny_config: MakeConfig) -> None:
    task, video = make_task(tiny_config, "masked.repeats=2"), make_video()
    first, again, later = (losses_of(task, video, video, seed=seed)["space"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first != later
    once = losses_of(make_task(tiny_config), video)["space"]
    assert not torch.isclose(first, once, rtol=1e-5)  # copies have their own masks


def test_pictures_and_errors_leave_the_task_as_it_was(tiny_config: MakeConfig) -> None:
    task, video = make_task(tiny_config), make_video(batch=3)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    errors = task.prediction_errors(video, torch.Generator().manual_seed(0))
    assert errors == task.prediction_errors(video, torch.Generator().manual_seed(5))
    assert list(errors) == ["space", "time", "clip"]
    assert task.prediction_errors(video[:1], torch.Generator()) == {}
    predicted, beside = cast(Tensor, task.predicted_pixels(video)), task.pixels_beside(video)
    shown = beside[SHOWN].isfinite()
    assert torch.equal(predicted[shown], video[shown])
    assert torch.equal(beside[MEANS][shown], video[shown])
    assert predicted.isfinite().all()
    assert not torch.equal(predicted, beside[MEANS])
    assert task.training
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


def test_time_learns_from_other_frames_what_space_cannot_know(tiny_config: MakeConfig) -> None:
    """Windows stand still and show one of two textures in their first column; both places are hidden in every fifth
    frame, where only another frame tells which it is: of a third of the hidden patches, half of the variance."""
    two_levels = ("groups=[space,time]", "hierarchy.frames_per_clip=6")
    task = make_task(tiny_config, *two_levels, "masked.augment=false", "masked.isolation=end2end")
    textures = torch.randn(3, 3, 8, 8)

    def still(batch: int, seed: int) -> Tensor:
        kinds = torch.full((batch, 2, 3), 2)
        kinds[:, :, 0] = torch.randint(0, 2, (batch, 1), generator=torch.Generator().manual_seed(seed))
        frames = textures[kinds].permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return frames[:, None].expand(-1, 6, -1, -1, -1)

    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-2)
    for number in range(200):
        optimizer.zero_grad()
        torch.stack(list(losses_of(task, still(16, number), seed=number).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        errors = losses_of(task.eval(), still(128, 10_000), seed=10_000)
    assert errors["space"] > 0.04
    assert errors["time"] < 0.01
