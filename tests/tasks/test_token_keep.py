"""Patches that `space` does not see in training: which, what they still move, and what stays as promised."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from architecture.stem import patchify
from config.errors import InputError
from data_utils.views.views import TrainingViews
from tasks.hierarchical import HierarchicalTask
from tasks.looks import Look
from tests.tasks.hierarchical_cases import (
    ALIKE,
    EMA,
    TWO_VIEWS,
    VICREG,
    VIEWS_BY_LEVEL,
    MakeConfig,
    make_batch,
    make_config,
    make_step,
    make_task,
    moved_groups,
    total,
)

KEEP = "hierarchical.token_keep=0.5"
LEVELS = ("backbone", "space", "time", "clip")


def summaries(task: HierarchicalTask, videos: tuple[Tensor, ...], kept_BTK: Tensor | None) -> dict[Look, Tensor]:
    """The summaries of `space` in every look."""
    units = task._ascent(task.hierarchy, dict(zip(task.looks, videos, strict=True)), kept_BTK=kept_BTK).reach("clip")
    return {look: of_look.summaries["space"] for look, of_look in units.items()}


def kept_of(task: HierarchicalTask, batch: TrainingViews, seed: int = 2) -> Tensor:
    kept_BTK = task._kept(batch, torch.Generator().manual_seed(seed))
    assert kept_BTK is not None
    return kept_BTK


def test_what_is_kept_is_drawn_for_every_frame_of_every_view_from_the_steps_generator(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "3", (), (VICREG, TWO_VIEWS, KEEP)))
    batch = make_batch(task)
    kept_BTK = kept_of(task, batch)
    assert kept_BTK.shape == (6, 6, 3)  # two views of three windows, six frames, half of six patches
    assert torch.equal(kept_BTK, kept_of(task, batch))
    assert not torch.equal(kept_BTK, kept_of(task, batch, seed=3))
    assert len({tuple(patches) for patches in kept_BTK.flatten(0, 1).tolist()}) > 10
    assert all(sorted(set(patches)) == patches for patches in kept_BTK.flatten(0, 1).tolist())
    assert task.eval()._kept(batch, torch.Generator()) is None
    everything = make_task(make_config(tiny_config, "3", (), (VICREG, TWO_VIEWS)))
    assert everything._kept(batch, torch.Generator()) is None


def test_a_frame_depends_on_the_patches_that_are_kept_at_their_places_and_on_nothing_else(
    tiny_config: MakeConfig,
) -> None:
    task = make_task(make_config(tiny_config, "3", (), (VICREG, TWO_VIEWS, KEEP)))
    batch = make_batch(task, 2)
    kept_BTK = kept_of(task, batch)
    pixels = torch.cat(batch.videos).requires_grad_()
    found = torch.cat(list(summaries(task, pixels.chunk(2), kept_BTK).values()))
    for window in range(4):
        for frame in range(6):
            number = found[window, frame] @ torch.arange(1.0, 17.0)
            (gradient,) = torch.autograd.grad(number, pixels, retain_graph=True)
            moving_BTP = (patchify(gradient, 8) != 0).any(dim=-1)
            expected_BTP = torch.zeros_like(moving_BTP)
            expected_BTP[window, frame, kept_BTK[window, frame]] = True
            assert torch.equal(moving_BTP, expected_BTP)


def test_kept_patches_keep_their_places(tiny_config: MakeConfig) -> None:
    level = make_task(make_config(tiny_config, "3", (), (VICREG,))).hierarchy.levels["space"].eval()
    tokens_BGND, keep_BGK = torch.randn(2, 3, 6, 14), torch.tensor([0, 2, 5]).expand(2, 3, 3)
    found, tokens_BGKD = level(tokens_BGND, keep_BGK)
    assert tokens_BGKD.shape == (2, 3, 3, 16)
    swapped = tokens_BGND[:, :, [2, 1, 0, 3, 4, 5]]  # two that are kept, each at the other's place
    assert not torch.allclose(level(swapped, keep_BGK)[0], found, atol=1e-3)
    torch.testing.assert_close(level(tokens_BGND, torch.arange(6).expand(2, 3, 6)), level(tokens_BGND))


@pytest.mark.parametrize("targets", ["targets=online", EMA])
@pytest.mark.parametrize(
    ("isolation", "reach"),
    [
        ("strict", {level: {level} for level in LEVELS}),
        ("overlap", {level: set(LEVELS[max(0, n - 1) : n + 1]) for n, level in enumerate(LEVELS)}),
    ],
)
def test_a_loss_moves_the_levels_that_its_isolation_lets_it_move(
    tiny_config: MakeConfig, isolation: str, reach: dict[str, set[str]], targets: str
) -> None:
    options = (VICREG, VIEWS_BY_LEVEL, ALIKE, KEEP, targets, f"isolation={isolation}")
    task = make_task(make_config(tiny_config, "b3", (), options))
    for level, terms in task.losses(make_batch(task), make_step()).items():
        assert {"down", "invariance"} & set(terms)
        assert moved_groups(task, total(terms)) == reach[level], level


def test_fewer_patches_make_another_loss(tiny_config: MakeConfig) -> None:
    losses = []
    for option in (KEEP, "hierarchical.token_keep=1.0"):
        task = make_task(make_config(tiny_config, "3", (), (VICREG, option)))
        losses.append(total(task.losses(make_batch(task), make_step())["space"]).item())
    assert losses[0] != losses[1]


def test_a_causal_space_needs_all_patches(tiny_config: MakeConfig) -> None:
    with pytest.raises(InputError, match=r"token_keep and hierarchy\.space\.causal_mask disagree"):
        make_config(tiny_config, "3", ("space",), (VICREG, KEEP))
