"""The stages of a run that trains by a curriculum: what one leaves to the next, and where a stopped run goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from config.places import place
from config.schema import Config
from runs.checkpoint import save_checkpoint
from runs.folder import RunFolder
from runs.history import History
from runs.metrics import MetricLog
from runs.process.atomic import write_json
from runs.resuming import read_best

logger = logging.getLogger(__name__)


def new_history(config: Config, carried: Mapping[str, Any] | None, run: RunFolder) -> History:
    """The history of a training that begins; a stage counts on from the one that it continues.

    Args:
        config: of the training.
        carried: the checkpoint that it starts from; None: from none.
        run: its folder.
    """
    if carried is None or not _continues(config, carried):
        return History(at_init={}, run=uuid4().hex)
    before = History.restored(carried["history"], config.clips)
    same_run = _carried_run(config).root == run.root
    return History(
        at_init={},
        run=before.run if same_run else uuid4().hex,
        first_step=before.total_steps,
        first_epoch=before.first_epoch + before.epoch,
        finished=before.finished,
    )


def _continues(config: Config, carried: Mapping[str, Any]) -> bool:
    """Whether a training is the stage that follows the one of a checkpoint."""
    stage = carried["config"].get("stage")
    return stage is not None and config.stage == stage + 1


def _carried_run(config: Config) -> RunFolder:
    """The run that `carry_from` is a checkpoint of."""
    return RunFolder(place(str(config.carry_from), "carry_from").parent.parent)


def records_before(config: Config) -> list[dict[str, Any]]:
    """What the run of the stage before has logged; [] where that is not known."""
    metrics = _carried_run(config).metrics
    return MetricLog.read(metrics) if metrics.is_file() else []


def finished_stage(history: History, config: Config, chosen: str) -> dict[str, Any]:
    """The record of a stage that has come to its end.

    Args:
        history: of the stage.
        config: of the stage.
        chosen: its checkpoint, in words.
    """
    counted = ("epoch", "step", "windows", "step_seconds", "data_wait", "bad_steps")
    values = asdict(history)
    return {name: values[name] for name in counted} | {
        "stage": config.stage,
        "chosen": chosen,
        "ended": how_it_ended(history, config),
        "frames": config.window.length,
        "config": config.model_dump(),
    }


def how_it_ended(history: History, config: Config) -> str:
    """By what a training has come to its end, in words: `it has ended with ...`."""
    if history.is_at_plateau(config):
        level, waited = config.levels[-1], f"{config.patience} validations" if config.patience > 1 else "a validation"
        return f"a plateau: {waited} without a better {config.watch} of {level}"
    return "its epochs"


def leave_to_next_stage(run: RunFolder, history: History, config: Config, chosen: str) -> Path:
    """Writes the checkpoint that the next stage starts from: the one that validation has chosen, as of any run.

    Returns:
        Its path.
    """
    best = read_best(run)
    record = finished_stage(history, config, chosen)
    whole = replace(history, finished=[*history.finished, record])
    path = run.stage(config.stage or 1)
    save_checkpoint(
        {"task": best["task"], "trainer": best["trainer"], "history": whole.state_dict()}
        | {"config": config.model_dump(), "run": history.run},
        path,
    )
    logger.info("stage %d has ended with %s: the next one starts from %s", config.stage, record["ended"], chosen)
    return path


def note_carry_over(run: RunFolder, stage: int | None, account: Mapping[str, Any]) -> None:
    """Adds the account of what a training began with to carry_over.json, beside those of earlier stages."""
    write_json(run.carry_over, {**_accounts(run), _account_name(stage): account})


def _account_name(stage: int | None) -> str:
    return f"stage_{stage}" if stage else "start"


def _accounts(run: RunFolder) -> dict[str, Any]:
    """What carry_over.json says; {} where it is not there, or cannot be read: nothing depends on it."""
    try:
        accounts = json.loads(run.carry_over.read_bytes())
    except (OSError, ValueError):
        return {}
    return accounts if isinstance(accounts, dict) else {}


def stages_told(history: History, config: Config, chosen: str, run: RunFolder) -> dict[str, Any]:
    """What summary.json says of the stages of a run that has ended; {} where it has none.

    Args:
        history: of the last stage.
        config: of the last stage.
        chosen: its checkpoint, in words.
        run: its folder.
    """
    if config.stage is None:
        return {}
    accounts = _accounts(run)
    stages = [*history.finished, finished_stage(history, config, chosen)]
    return {"stages": [_told(stage, accounts.get(_account_name(stage["stage"]))) for stage in stages]}


def _told(stage: Mapping[str, Any], account: Mapping[str, Any] | None) -> dict[str, Any]:
    """One finished stage; `account`: of what it began with, where that is known."""
    config = stage["config"]
    told = {
        "stage": stage["stage"],
        "levels": config["groups"],
        "dataset": config["dataset"]["root"],
        "frames": stage["frames"],
        "frame_size": config["frame_size"],
        "frozen": [level for level, factor in config["stage_lr"].items() if factor == 0],
        "epochs": stage["epoch"],
        "steps": stage["step"],
        "windows": stage["windows"],
        "training_seconds": stage["step_seconds"],
        "ended": stage["ended"],
        "chosen": stage["chosen"],
    }
    if account:
        told["tensors"] = {kind: len(account[kind]) for kind in ("carried", "resampled", "new", "reshaped", "left")}
    return told
