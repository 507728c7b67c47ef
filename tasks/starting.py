"""A task that starts from the weights of another run (`resume_path`): what differs is told, and named beforehand."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor

from architecture.carry_over import CarryOver, account_of, carried_tensors
from config.errors import InputError
from config.schema import Config
from runs.other_run import read_other_run
from tasks.carrying import check_same_task, config_of, networks_of
from tasks.task import Task

logger = logging.getLogger(__name__)

_KEY = "resume_path"  # what messages begin with
_MOST_ROWS = 30  # of one kind; carry_over.json has all of them
_COUNTER = ".num_batches_tracked"  # of BatchNorm, which old files lack


def check_other_run(config: Config) -> None:
    """Looks whether `resume_path` names a checkpoint that this task could start from, before data is opened.

    Raises:
        InputError: there is none, it is damaged, or of another task or encoder.
    """
    if config.resume_path is not None:
        path, checkpoint = read_other_run(config)
        check_same_task(checkpoint, path, config, _KEY)


def start_from_other_run(task: Task, config: Config) -> dict[str, Any]:
    """Gives a new task the weights and statistics that `resume_path` names, and logs a table of what differs.

    Tensors that stand for places (positions, patches) are refitted where windows or frames have another size, as those
    of a curriculum are. What the file has and the task has no use for is left out, and told.

    Args:
        task: with its random init; on its device.
        config: of it.

    Returns:
        The account of every tensor, as plain values.

    Raises:
        InputError: a tensor is missing, or of another shape, that `init_missing` does not name, or it names none.
    """
    path, checkpoint = read_other_run(config)
    check_same_task(checkpoint, path, config, _KEY)
    networks = networks_of(task, config, config_of(checkpoint, path, _KEY))
    old, fresh = checkpoint["task"], task.state_dict()
    plan = account_of(old, fresh, networks)
    step = int(checkpoint["history"].get("first_step", 0)) + int(checkpoint["history"]["step"])
    same, table = len(plan.carried), difference_table(plan, old, fresh)
    logger.info("weights of %s (step %d): %d of %d tensors as they are", path, step, same, len(fresh))
    if table:
        logger.warning("what differs from %s\n%s", path, table)
    _check_named(plan, config.init_missing, str(path))
    task.load_state_dict(carried_tensors(plan, old, fresh, networks))
    return {"from": str(path), "step": step, "optimizer": "begins anew", **asdict(plan)}


def difference_table(plan: CarryOver, old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> str:
    """The tensors that are not taken over as they are, a line each; "" where there are none.

    Args:
        plan: the account of all of them.
        old: those of the file.
        new: those of the task.
    """
    rows = [
        *_some([("missing", name, "-", _shape(new[name]), "begins at random") for name in plan.new]),
        *_some([("other shape", c.name, str(c.old), str(c.new), "begins at random") for c in plan.reshaped]),
        *_some([("refitted", c.name, str(c.old), str(c.new), c.how) for c in plan.resampled]),
        *_some([("surplus", name, _shape(old[name]), "-", "left out") for name in plan.left]),
    ]
    if not rows:
        return ""
    rows.insert(0, ("", "tensor", "there", "here", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


Row = tuple[str, str, str, str, str]


def _some(rows: Sequence[Row]) -> list[Row]:
    """The first rows, and how many more there are."""
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    kind, _, _, _, what = rows[0]
    return [*rows[:_MOST_ROWS], (kind, f"and {len(rows) - _MOST_ROWS} more", "", "", what)]


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _check_named(plan: CarryOver, patterns: Sequence[str], path: str) -> None:
    """Raises InputError where `init_missing` does not name what begins at random, or names what does not."""
    begins = [*(name for name in plan.new if not name.endswith(_COUNTER)), *(change.name for change in plan.reshaped)]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in [*begins, *plan.new]):
            raise InputError(
                f"init_missing: {pattern} names no tensor that is missing in {path} or has another shape there; "
                "take it out"
            )
    left = [name for name in begins if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    if left:
        others = f" and {len(left) - 1} more" if len(left) > 1 else ""
        named = ", ".join([*patterns, *_patterns_for(left)])
        raise InputError(
            f"{_KEY}: {left[0]}{others} cannot be taken from {path}, as the table above says; 'init_missing=[{named}]' "
            "lets them begin at random"
        )


def _patterns_for(names: Iterable[str]) -> list[str]:
    """Patterns that name all of these: a module each, or the tensor where it lies in none."""
    return list(dict.fromkeys(f"{'.'.join(parts[:-1][:3])}.*" if (parts := n.split("."))[1:] else n for n in names))
