"""Settings of the hierarchical task that its tests go through, and what they ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from config.schema import Config
from data_utils.views.views import TrainingViews
from tasks.hierarchical import HierarchicalTask
from tasks.objective import LevelObjective, LevelView, Targets
from tasks.task import Losses, StepContext

MakeConfig = Callable[..., Config]

VICREG = "regularizer={name: vicreg, variance: 1, covariance: 1, proj_dim: 18, min_vectors: 32}"
SIGREG = "regularizer={name: sigreg, weight: 1, num_slices: 256, proj_dim: 18, min_vectors: 32}"
VISREG = "regularizer={name: visreg, scale: 1, shape: 1, centre: 1, num_slices: 256, proj_dim: 18, min_vectors: 32}"
NONE = "regularizer={name: none}"
GUARDS = {
    VICREG: {"variance", "covariance"},
    SIGREG: {"sigreg"},
    VISREG: {"scale", "shape", "centre"},
    NONE: set[str](),
}
UP_DOWN_SIDE = {"up", "down", "side"}
HIERARCHIES: dict[str, tuple[tuple[str, ...], dict[str, set[str]]]] = {
    "image": (
        ("groups=[backbone,space]", "window.length=1", "frames_per_clip=1"),
        {"backbone": {"up"}, "space": {"down"}},
    ),
    "2": (("groups=[space,time]", "frames_per_clip=6"), {"space": UP_DOWN_SIDE, "time": {"down"}}),
    "3": (("groups=[space,time,clip]",), {"space": UP_DOWN_SIDE, "time": UP_DOWN_SIDE, "clip": {"down"}}),
    "b2": (
        ("groups=[backbone,space,time]", "frames_per_clip=6"),
        {"backbone": {"up", "side"}, "space": UP_DOWN_SIDE, "time": {"down"}},
    ),
    "b3": (
        ("groups=[backbone,space,time,clip]",),
        {"backbone": {"up", "side"}, "space": UP_DOWN_SIDE, "time": UP_DOWN_SIDE, "clip": {"down"}},
    ),
}
STEM, EMA = "down_target=stem", "targets=ema"
TWO_VIEWS = (
    "views={backbone: [strong, strong], space: [strong, strong], time: [strong, strong], clip: [strong, strong]}"
)
# Five looks, two of which are of no use above `space` and `time`.
VIEWS_BY_LEVEL = "views={backbone: [none, weak], space: [weak, weak], time: [weak, strong], clip: [strong, strong]}"
ALIKE = "loss_weights={backbone: {invariance: 1}, space: {invariance: 1}, time: {invariance: 1}, clip: {invariance: 1}}"
WITHIN, OPEN_SIDE = "predict_across_views=false", "detach_side_targets=false"
SAMPLED, ANYWHERE = ("down_targets=sampled", "positions=per_batch"), "use_temporal_prediction=false"
# (hierarchy, causal levels, other options): every value of an option at least once, pairs that interact together.
SETTINGS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("image", (), (VICREG, STEM)),
    ("image", ("space",), (SIGREG, TWO_VIEWS, ALIKE)),
    ("2", (), (SIGREG, STEM)),
    ("2", (), (VICREG, EMA, VIEWS_BY_LEVEL, ALIKE, *SAMPLED)),
    ("2", ("space", "time"), (VISREG, TWO_VIEWS)),
    ("3", (), (VICREG, TWO_VIEWS, ALIKE)),
    ("3", (), (SIGREG, VIEWS_BY_LEVEL, ALIKE, ANYWHERE, *SAMPLED, STEM)),
    ("3", ("time",), (NONE, EMA, "output_batchnorm=true")),
    ("3", ("clip",), (VICREG, STEM, ANYWHERE)),
    ("3", ("space", "time", "clip"), (VISREG, OPEN_SIDE, "interlevel_noise=0.25", "target_norm=layer")),
    ("b2", (), (VISREG, TWO_VIEWS, ALIKE, WITHIN, OPEN_SIDE)),
    ("b2", ("space",), (VICREG, STEM, *SAMPLED)),
    ("b3", (), (SIGREG, STEM, TWO_VIEWS, ALIKE, "output_batchnorm=true")),
    ("b3", (), (VICREG, EMA, ANYWHERE, "stem=cnn")),
    ("b3", (), (VICREG, VIEWS_BY_LEVEL, ALIKE, OPEN_SIDE)),
    ("b3", ("space", "clip"), (NONE, STEM, VIEWS_BY_LEVEL, WITHIN, OPEN_SIDE, "target_norm=none")),
    ("b3", ("space", "time", "clip"), (VICREG, EMA, TWO_VIEWS, ALIKE, "architecture_space.dropout=0.2")),
]
settings = pytest.mark.parametrize(("hierarchy", "causal", "options"), SETTINGS)


def make_config(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...], *more: str
) -> Config:
    masks = [f"architecture_{level}.causal_mask=true" for level in causal]
    return tiny_config(*HIERARCHIES[hierarchy][0], *masks, *options, *more)


def make_task(config: Config) -> HierarchicalTask:
    torch.manual_seed(config.seed)
    return HierarchicalTask(config).train()


def make_video(batch: int = 3, frames: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(batch, frames, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def make_batch(task: HierarchicalTask, batch: int = 3, seed: int = 1) -> TrainingViews:
    count, frames = len(task.views), task.config.window.length
    frames_BT = torch.arange(frames).expand(batch, frames)
    videos = tuple(make_video(batch, frames, seed + number) for number in range(count))
    return TrainingViews(videos, (frames_BT,) * count, torch.arange(batch))


def make_step(**changes: Any) -> StepContext:
    return StepContext(torch.Generator().manual_seed(2), **changes)


def losses_of(task: HierarchicalTask, batch: int = 3, **step: Any) -> Losses:
    return task.losses(make_batch(task, batch), make_step(**step))


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def objective_of(task: HierarchicalTask, level: str) -> LevelObjective:
    objective = task.objectives[level]
    assert isinstance(objective, LevelObjective)
    return objective


def moved_groups(task: HierarchicalTask, loss: Tensor) -> set[str]:
    """The parameter groups in which any gradient of `loss` is not exactly zero."""
    moved = set()
    for name, group in task.parameter_groups().items():
        gradients = torch.autograd.grad(loss, group.all(), retain_graph=True, allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradients)
        if any(g is not None and bool(g.any()) for g in gradients):
            moved.add(name)
    return moved


def views_of(task: HierarchicalTask, batch: TrainingViews) -> dict[str, list[LevelView]]:
    """What each level learns from, on the way through `losses`."""
    seen: dict[str, list[LevelView]] = {}
    handles = [
        objective.register_forward_pre_hook(lambda _, inputs, name=name: seen.__setitem__(name, inputs[0]))
        for name, objective in task.objectives.items()
    ]
    task.losses(batch, make_step())
    for handle in handles:
        handle.remove()
    return seen


def targets_of(task: HierarchicalTask, batch: TrainingViews) -> dict[str, Targets]:
    """What each level is given to predict in its first view."""
    return {level: views[0].targets for level, views in views_of(task, batch).items()}
