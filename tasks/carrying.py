"""A task that starts from another one's checkpoint: its weights, statistics and optimizers' states (`carry_from`)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from architecture.carry_over import (
    CarryOver,
    CarryOverError,
    Change,
    Networks,
    carried_moments,
    carried_tensors,
    plan_carry_over,
)
from architecture.layouts import Grid
from config.errors import InputError
from config.load import restore_config
from config.places import place
from config.schema import Config
from runs.resuming import read_checkpoint
from tasks.task import Task

if TYPE_CHECKING:
    from train import Trainer

logger = logging.getLogger(__name__)

_NO_GRID: Grid = (0, 0)  # of encoders without patches


def read_carried(config: Config) -> dict[str, Any] | None:
    """The checkpoint that `carry_from` names; None where it is null.

    Raises:
        InputError: it cannot be read, is damaged, or is of another task or encoder.
    """
    if config.carry_from is None:
        return None
    path = place(config.carry_from, "carry_from")
    try:
        checkpoint = read_checkpoint(path)
    except InputError as error:
        raise InputError(f"carry_from: {error}; give the last.pt, best.pt or stage_1.pt of a run") from None
    check_same_task(checkpoint, path, config, "carry_from")
    return checkpoint


def check_same_task(checkpoint: Mapping[str, Any], path: Path, config: Config, key: str) -> None:
    """Raises InputError where a checkpoint, which `key` of the config asks for, is of another task or encoder."""
    before = config_of(checkpoint, path, key)
    for name in ("task", "encoder"):
        was, now = getattr(before, name), getattr(config, name)
        if was != now:
            raise InputError(f"{key}: {path} is of {name} {was}, not {now}; encoder_checkpoint takes an encoder alone")


def config_of(checkpoint: Mapping[str, Any], path: Path, key: str = "carry_from") -> Config:
    """The config that a checkpoint was trained with. InputError: it is not one of this program."""
    return restore_config(checkpoint["config"], f"{key}: {path}")


def networks_of(task: Task, config: Config, before: Config) -> Networks:
    """What `architecture/carry_over.py` asks beside the tensors.

    Args:
        task: the one that starts.
        config: of it.
        before: of the one that it starts from.
    """
    path = next(name for name, module in task.named_modules() if module is task.encoder)
    grids = _grid(before), _grid(config)
    return Networks(task.layouts(), grids, f"{path}." if path else "", task.copies)


def _grid(config: Config) -> Grid:
    return config.geometry.grid if config.hierarchy is not None else _NO_GRID


def plan_for(old: Mapping[str, Tensor], task: Task, networks: Networks) -> CarryOver:
    """The account of all tensors of a task that starts from `old`; values do not matter.

    Args:
        old: the state_dict to start from.
        task: the one that starts.
        networks: of both.

    Raises:
        InputError: a tensor of the encoder cannot be carried over.
    """
    try:
        return plan_carry_over(old, task.state_dict(), networks)
    except CarryOverError as error:
        raise InputError(f"what was trained cannot be carried over: {error}") from None


def carry_over(checkpoint: Mapping[str, Any], task: Task, trainer: Trainer, config: Config) -> dict[str, Any]:
    """Puts a checkpoint's weights, statistics and optimizers' states into a new task and its trainer, and tells which.

    Args:
        checkpoint: of `read_carried`.
        task: with its random init; on its device.
        trainer: of `task`; has done no step.
        config: of both.

    Returns:
        The account of every tensor, as plain values.

    Raises:
        InputError: the encoder has tensors that cannot be carried over.
    """
    path = place(config.carry_from or "", "carry_from")
    before = config_of(checkpoint, path)
    networks = networks_of(task, config, before)
    old, fresh = checkpoint["task"], task.state_dict()
    try:
        plan = plan_for(old, task, networks)
    except InputError as error:
        raise InputError(f"carry_from ({path}): {error}") from None
    task.load_state_dict(carried_tensors(plan, old, fresh, networks))
    parameters = {name: parameter.detach() for name, parameter in task.named_parameters() if parameter.requires_grad}
    states, why_none = _optimizer_states(checkpoint["trainer"], before.optimizer.name, config.optimizer.name)
    trainer.take_over(carried_moments(plan, states, parameters, networks))
    # The weights' own: of a stage that trained on after its best validation, the history has a later one.
    step = checkpoint["history"].get("first_step", 0) + checkpoint["trainer"]["step"]
    logger.info("carried over from %s (step %d)\n%s", path, step, _block(plan, why_none))
    return {"from": str(path), "step": step, "optimizer": why_none or "carried", **asdict(plan)}


def _optimizer_states(saved: Mapping[str, Any], was: str, now: str) -> tuple[dict[str, Any], str | None]:
    """Torch's states by the name of the parameter; and where there are none, why.

    Args:
        saved: the state of the trainer.
        was: the name of its optimizers.
        now: the name of the new ones.
    """
    if was != now:
        return {}, f"another optimizer, {now} after {was}"
    if "parameters" not in saved:
        return {}, "the checkpoint is of an older version, which did not name the parameters of optimizers"
    states: dict[str, Any] = {}
    for key, names in saved["parameters"].items():
        by_number = saved["optimizers"][key]["state"]
        states |= {name: by_number[number] for number, name in enumerate(names) if number in by_number}
    return states, None


def _block(plan: CarryOver, why_none: str | None) -> str:
    """The account in a few lines: tensors that changed each by itself, the others by the module that they are in."""
    lines = [
        f"  carried    {_counted(plan.carried)}",
        f"  new        {_counted(plan.new)}",
        f"  left       {_counted(plan.left)}",
        *(f"  refitted   {_change(change)}" for change in plan.resampled),
        *(f"  new shape  {_change(change)}" for change in plan.reshaped),
    ]
    optimizer = f"of {len(plan.optimizer_carried)} parameters carried, of {len(plan.optimizer_new)} new"
    return "\n".join([*lines, f"  optimizers {why_none or optimizer}"])


def _counted(names: Iterable[str]) -> str:
    """Tensors by the first parts of their names: `3 tensors: hierarchy.stem 2, hierarchy.levels.space 1`."""
    names = list(names)
    if not names:
        return "none"
    count = Counter(map(_module_of, names))
    return f"{len(names)} tensors: {', '.join(f'{module} {number}' for module, number in count.items())}"


def _module_of(name: str) -> str:
    parts = name.split(".")[:-1] or [name]
    return ".".join(parts[: 3 if "levels" in parts else 2])


def _change(change: Change) -> str:
    return f"{change.name} {change.old} -> {change.new} ({change.how})"
