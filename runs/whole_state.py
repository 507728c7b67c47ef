"""A new run that goes on from the whole state of another one (`resume_all`), which stays as it is.

It is that other run resumed in a folder of its own: records, the best checkpoint and the features of earlier epochs
come along. What may differ is what steers the training; the data, and so the place in it, are the same.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from config.errors import InputError
from config.schema import Config
from runs.checkpoint import save_checkpoint
from runs.folder import RunFolder
from runs.history import FREE_KEYS, History, check_same_experiment
from runs.other_run import read_other_run
from runs.resuming import load_weights_of, read_checkpoint

if TYPE_CHECKING:
    from tasks.task import Task

logger = logging.getLogger(__name__)

_KEY = "resume_all"  # what messages begin with
# Beside `FREE_KEYS`: what a step reads anew from the config, so that another value counts from then on.
_COURSE = {
    *("model_name", "resume_path", "resume_epoch", "resume_all"),
    *("optimizer.lr", "optimizer.weight_decay", "optimizer.final_weight_decay", "scheduler", "clip_grad_norm"),
    *("max_bad_steps", "augmentation", "weak_augmentation"),
}


def read_whole_state(config: Config) -> dict[str, Any]:
    """The checkpoint that `resume_path` names, once it is known that this run can go on from it.

    Raises:
        InputError: it cannot be read, is of another experiment, or has nothing left to train.
    """
    path, checkpoint = read_other_run(config)
    if checkpoint["config"].get("stage") is not None:
        raise InputError(
            f"{_KEY}: {path} is of a stage of a curriculum; {_KEY}=false takes its weights, "
            "carry_from its optimizers' states, too"
        )
    weights_alone = f"set it back, or take the weights alone with {_KEY}=false"
    check_same_experiment(checkpoint["config"], config.model_dump(), path, _KEY, FREE_KEYS | _COURSE, weights_alone)
    history = History.restored(checkpoint["history"], config.clips)
    if history.is_over(config):
        raise InputError(
            f"{_KEY}: {path} has trained for all of num_epochs={config.num_epochs}; "
            f"num_epochs={history.epoch + 1} or more goes on from there"
        )
    return checkpoint


def take_over(checkpoint: dict[str, Any], task: Task, run: RunFolder, config: Config) -> None:
    """Puts into the folder of a run what it would hold had it trained up to this checkpoint itself.

    Args:
        checkpoint: of `read_whole_state`; becomes that of this run.
        task: of this run.
        run: its folder, which has no checkpoint yet.
        config: of this run.

    Raises:
        InputError: the weights are not those of this task, or a file cannot be written.
    """
    path, _ = read_other_run(config)
    load_weights_of(checkpoint, task, path)
    other = RunFolder(path.parent.parent)
    own = {"config": config.model_dump(), "run": uuid4().hex}
    best = _best_of(other, checkpoint)
    if best is None and checkpoint["history"].get("best_score") is not None:
        logger.warning("the best checkpoint of %s is not there, or of a later step: it is chosen anew", other.root)
        checkpoint["history"] |= {"best_score": None, "best_step": 0, "full_scores": 0}
    checkpoint |= own
    checkpoint["history"] |= {"run": own["run"], "runners_up": []}  # their files stay with the other run
    for name in ("metrics", "carry_over"):
        if getattr(other, name).is_file():
            shutil.copyfile(getattr(other, name), getattr(run, name))
    if other.epoch_features.is_dir():
        shutil.copytree(other.epoch_features, run.epoch_features, dirs_exist_ok=True)
    if best is not None:
        save_checkpoint({**best, **own, "history": best["history"] | {"run": own["run"]}}, run.best)
    save_checkpoint(checkpoint, run.last)  # the last: from now on, resume=true continues this run
    checkpoint |= {"path": run.last, "data": checkpoint.get("data", {})}
    step, batch = checkpoint["history"]["step"], checkpoint["history"]["batch"]
    logger.info("the whole state of %s: %d steps done, batch %d of its epoch", path, step, batch)


def _best_of(other: RunFolder, checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The checkpoint that the other run had chosen by then; None where that is not known any more."""
    if checkpoint["history"].get("best_score") is None:
        return None
    try:
        best = read_checkpoint(other.best)
    except InputError:
        return None
    same_run = best.get("run", "") == checkpoint.get("run", "")
    return best if same_run and best["history"]["step"] == checkpoint["history"]["best_step"] else None
