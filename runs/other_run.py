"""The checkpoint of another run that a new one starts from: which files there are, and of which epochs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.errors import InputError
from config.places import place
from config.schema import Config
from runs.folder import RunFolder
from runs.metrics import MetricLog
from runs.resuming import read_checkpoint

_KEY = "resume_path"  # what messages begin with
_STAGES = "stage_"  # what the names of files begin with that a stage leaves to the next one


def read_other_run(config: Config) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that `resume_path` and `resume_epoch` name, and where it lies.

    Raises:
        InputError: there is none, it is damaged, or none is of that epoch: the message names those that there are.
    """
    given = place(str(config.resume_path), _KEY)
    if not given.exists():
        raise InputError(f"{_KEY}: {given} does not exist; give the folder of a run, or one of its checkpoints")
    if not given.is_dir():
        if config.resume_epoch is not None:
            raise InputError(f"resume_epoch and {_KEY} disagree: {given} is a single checkpoint; give its run's folder")
        return given, _read(given)
    run = RunFolder(given.parent if given.name == "checkpoints" else given)
    if not run.checkpoints.is_dir():
        raise InputError(f"{_KEY}: {given} is not the folder of a run: it has no folder checkpoints")
    if config.resume_epoch is None:
        return run.last, _read(run.last)
    return _of_epoch(run, config.resume_epoch)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except InputError as error:
        raise InputError(f"{_KEY}: {error}") from None


def _of_epoch(run: RunFolder, epoch: int) -> tuple[Path, dict[str, Any]]:
    """The checkpoint after `epoch` epochs. InputError: none of the files there is it."""
    epochs: dict[int, Path] = {}
    unreadable: list[str] = []
    validated = _epochs_of_validations(run)
    for path in sorted(run.checkpoints.glob("*.pt")):
        if path.name.startswith(_STAGES):
            continue
        try:
            found = epoch_of(read_checkpoint(path), validated)
        except InputError:
            unreadable.append(path.name)
            continue
        if found == epoch:
            return path, _read(path)
        if found is not None:
            epochs[found] = path
    kept = ", ".join(f"{number} ({path.name})" for number, path in sorted(epochs.items())) or "none"
    damaged = f"; {', '.join(unreadable)} cannot be read" if unreadable else ""
    raise InputError(f"resume_epoch: {run.root} has no checkpoint of epoch {epoch}; it has those of {kept}{damaged}")


def epoch_of(checkpoint: Mapping[str, Any], validated: Mapping[int, int]) -> int | None:
    """The number of epochs after which a checkpoint was taken, in all stages; None: inside an epoch.

    Args:
        checkpoint: of any run.
        validated: the epochs of its run's validations by their steps. The checkpoint that a validation has chosen is
            taken before its epoch is counted, since a resumed run validates again.
    """
    history = checkpoint["history"]
    if history.get("batch", 0) == 0:
        return int(history.get("first_epoch", 0)) + int(history.get("epoch", 0))
    return validated.get(int(history.get("first_step", 0)) + int(history["step"]))


def _epochs_of_validations(run: RunFolder) -> dict[int, int]:
    """By step, the epoch of each validation that the run has logged; {} where there are no records."""
    if not run.metrics.is_file():
        return {}
    records = [record for record in MetricLog.read(run.metrics) if record.get("kind") == "validation"]
    return {record["step"]: record["epoch"] for record in records if "step" in record and "epoch" in record}
