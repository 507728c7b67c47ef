"""The rows of the table: ours with each option, the step as published, and other encoders; a step of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from benchmarks.step import published
from benchmarks.step.measuring import Cost, measured, start_of_memory, timing_levels
from benchmarks.step.rivals import RIVALS, loss_of
from benchmarks.step.sizes import config_of
from benchmarks.views import NoiseLoader
from config.schema import Config
from data_utils.views.views import View, make_views
from runs.precision import autocast_dtype
from runs.process.seeds import seed_everything
from tasks.hierarchical import HierarchicalTask
from train import Trainer

Prepare = Callable[[HierarchicalTask], None]
_CHECKPOINTING = tuple(f"hierarchy.{level}.checkpointing=true" for level in ("backbone", "space", "time", "clip"))
OURS: dict[str, tuple[tuple[str, ...], int]] = {
    "strict": ((), 1),
    "strict, one backward": (("level_backward=sum",), 1),
    "strict, checkpointing": (_CHECKPOINTING, 1),
    "strict, two views": ((), 2),
    "strict, half of the patches": (("hierarchical.token_keep=0.5",), 1),
    "strict, a quarter of the patches": (("hierarchical.token_keep=0.25",), 1),
    "end2end": (("hierarchical.isolation=end2end",), 1),
}
PUBLISHED: dict[str, tuple[str, ...]] = {
    "published": published.SHARED_GRAPH,
    "published, one backward": published.ONE_BACKWARD,
}
NO_GUARD = "hierarchical.regularizer={name: none}"
ROWS = [*OURS, *PUBLISHED, *RIVALS]


def cost_of(row: str, size: str, frames: int, batch: int, steps: int, device: torch.device, *options: str) -> Cost:
    """Measures one row, in this process.

    Args:
        row: a name of `ROWS`.
        size: a name of `SIZES`.
        frames: of a window.
        batch: windows.
        steps: that are timed, after one.
        device: that computes.
        options: further overrides of the config.
    """
    if row in RIVALS:
        return _rival(row, config_of(size, frames, batch, *options), steps, device)
    if row in PUBLISHED:
        # It has no regulariser, and nothing is standardised in ours but what ours is about.
        return _ours(config_of(size, frames, batch, *PUBLISHED[row], NO_GUARD, *options), steps, device, _published)
    given, views = OURS[row]
    return _ours(config_of(size, frames, batch, *given, *options, views=views), steps, device, lambda _: None)


def _published(task: HierarchicalTask) -> None:
    published.as_published(task)
    published.wait_for_losses(task)


def _ours(config: Config, steps: int, device: torch.device, prepare: Prepare) -> Cost:
    """Whole steps of the trainer, on windows that lie in memory."""
    seed_everything(config.seed)
    before = start_of_memory(device)
    task = HierarchicalTask(config)
    prepare(task)
    batches = steps + 3  # one warms up, one is counted, one is timed level by level
    trainer = Trainer(task.to(device), config, batches, device)
    reports = trainer.epoch(NoiseLoader(config, batches), 0, 0, lambda _: None)  # type: ignore[arg-type]
    cost = measured(partial(next, reports), steps, device, before)
    with timing_levels(task, device) as spent:
        next(reports)
    return replace(cost, level_seconds=spent)


def _rival(row: str, config: Config, steps: int, device: torch.device) -> Cost:
    """Forward, backward and AdamW, on the same windows in the same precision."""
    seed_everything(config.seed)
    before = start_of_memory(device)
    network = RIVALS[row](config).to(device)
    loss = loss_of(network, config)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    dtype = autocast_dtype(config, device)
    batch = next(NoiseLoader(config, 1).epoch(0)).to(device)

    def step() -> None:
        (video,) = make_views(batch, (View(),), config, config.seed, 0).videos
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            found = loss(video)
        found.backward()
        optimizer.step()

    return measured(step, steps, device, before)
