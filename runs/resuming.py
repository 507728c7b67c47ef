"""A fault that a resumed run meets after a day of training costs that day: all that it needs is looked at before."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from config.curriculum import STEP
from config.errors import InputError
from runs.checkpoint import DamagedError, load_checkpoint
from runs.folder import RunFolder
from runs.history import check_same_experiment
from runs.kept_checkpoints import numbered, numbered_steps
from runs.metrics import MetricLog
from runs.written_by import check_written_by, tell_other_torch

logger = logging.getLogger(__name__)

# What a checkpoint holds; `run`, which older versions did not write, is the same in all checkpoints of one run.
_PARTS = ("task", "trainer", "history", "config")
_WITHOUT_BEST = "remove it: then resume=true continues, and chooses the best checkpoint among those to come"


def read_checkpoints(run: RunFolder, configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of last.pt, once it, best.pt and metrics.jsonl are known to belong to this run and to be complete.

    Where last.pt is damaged, it is the content of the latest one before it that is whole. Where best.pt is missing, or
    is of steps that will be done again, the choice of the best checkpoint begins anew.

    Args:
        run: the folder of the run to continue.
        configs: of this start, one for each stage, or the only one.

    Returns:
        What the file holds; `path`: which one it is; `data`: its fingerprint of the data, {} where it has none.

    Raises:
        InputError: a file is damaged, of another program, another run or another experiment.
    """
    path, last = _read_last(run)
    check_same_experiment(last["config"], config_to_resume(last, configs, path), path)
    tell_other_torch(last, path)
    if run.metrics.exists():
        MetricLog.read(run.metrics)
    if last["history"].get("best_score") is not None:
        _check_best(run, last)
    return {"data": {}, **last, "path": path}


def _read_last(run: RunFolder) -> tuple[Path, dict[str, Any]]:
    """The latest checkpoint that is whole, and where it is."""
    kept = [numbered(run.last, step) for step in numbered_steps(run.last)]
    faults: list[InputError] = []
    for path in [run.last, *kept]:
        try:
            if path == run.last and kept and not path.exists():
                raise DamagedError(f"{path} is missing")
            state = read_checkpoint(path)
        except DamagedError as error:
            faults.append(error)
            continue
        if faults:
            logger.warning("%s: going on from step %d, which %s holds", faults[0], _total_step(state), path.name)
        return path, state
    raise _nothing_left(run, faults)


def _nothing_left(run: RunFolder, faults: Sequence[InputError]) -> InputError:
    """What can be done where no checkpoint to go on from is whole."""
    damaged = f"{faults[0]}" if len(faults) == 1 else f"{faults[0]}; so are the {len(faults) - 1} before it"
    try:
        step = read_checkpoint(run.best)["history"]["step"]
    except InputError:
        return InputError(f"{damaged}; so is {run.best.name}: start anew under another model_name=...")
    return InputError(
        f"{damaged}; copy {run.best} over it: then resume=true continues from step {step}, which best.pt holds"
    )


def _check_best(run: RunFolder, last: Mapping[str, Any]) -> None:
    """Looks whether best.pt is the one that `last` has chosen; where it is not, the choice begins anew."""
    history = last["history"]
    best = _read_best(run, last)
    if best is None:
        history |= {"best_score": None, "best_step": 0, "full_scores": 0}
    elif _total_step(best) > _total_step(last):
        # It is done again. What was best before is there only where more than one is kept.
        chosen = numbered(run.best, int(history.get("first_step", 0)) + history["best_step"])
        if chosen.is_file():
            chosen.replace(run.best)
        else:
            history |= {"best_score": None, "best_step": 0}


def _total_step(checkpoint: Mapping[str, Any]) -> int:
    """Steps of the run, those of earlier stages included."""
    history = checkpoint["history"]
    return int(history.get("first_step", 0)) + int(history["step"])


def _read_best(run: RunFolder, last: Mapping[str, Any]) -> dict[str, Any] | None:
    """The content of best.pt; None if it is missing."""
    if not run.best.exists():
        logger.warning(
            "%s is missing: the best checkpoint so far (step %d) is lost, the best one is chosen among those to come",
            run.best,
            last["history"]["best_step"],
        )
        return None
    best = read_best(run)
    later_stage = _total_step(best) > _total_step(last) and best["config"].get("stage") != last["config"].get("stage")
    if best.get("run", "") != last.get("run", "") or not (later_stage or _same_shapes(best["task"], last["task"])):
        raise InputError(f"{run.best} is of another run than {run.last.name}; {_WITHOUT_BEST}")
    return best


def read_best(run: RunFolder) -> dict[str, Any]:
    """The content of best.pt. InputError, with what can be done: it cannot be read."""
    try:
        return read_checkpoint(run.best)
    except InputError as error:
        raise InputError(f"{error}; {_WITHOUT_BEST}") from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of the file. DamagedError: it is not a checkpoint of this program."""
    state = load_checkpoint(path)
    missing = [name for name in _PARTS if not isinstance(state.get(name), Mapping)]
    if missing or not isinstance(state["history"].get("step"), int):
        raise DamagedError(f"{path} is not a checkpoint of this program: it has no {missing[0] if missing else 'step'}")
    check_written_by(state, path)
    return state


def _same_shapes(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    shapes = [{name: tuple(getattr(value, "shape", ())) for name, value in weights.items()} for weights in (one, other)]
    return shapes[0] == shapes[1]


def load_weights_of(checkpoint: Mapping[str, Any], task: nn.Module, path: Path) -> None:
    """Puts the weights of a checkpoint into `task`. Raises InputError where they do not fit it."""
    expected, found = task.state_dict(), checkpoint["task"]
    if not _same_shapes(found, expected):
        names = sorted(found.keys() ^ expected.keys())
        raise InputError(
            f"the weights in {path} are not those of this model ({names[0]} differs): another version of the program "
            "wrote it; continue the run with that version, or start anew under another model_name=..."
            if names
            else _other_shape(found, expected, path)
        )
    task.load_state_dict(checkpoint["task"])


def _other_shape(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> str:
    """The message about weights of the same names and other shapes."""
    other = [name for name in expected if found[name].shape != expected[name].shape]
    classes = all("classifier" in name for name in other)
    why = "the training videos have other classes than then" if classes else "another version of the program wrote it"
    shapes = f"{other[0]} is {list(found[other[0]].shape)} there and {list(expected[other[0]].shape)} here"
    back = "bring the labels of then back" if classes else "continue the run with that version"
    return (
        f"the weights in {path} are not those of this model ({shapes}): {why}; {back}, or start anew under another "
        "model_name=..."
    )


def config_to_resume(last: Mapping[str, Any], stages: Sequence[Mapping[str, Any]], path: Path) -> Mapping[str, Any]:
    """The config of the stage that a checkpoint was taken in.

    Args:
        last: the checkpoint.
        stages: the configs of all stages, as this start has them, or the only one of a run that has none.
        path: the checkpoint's, for messages.

    Raises:
        InputError: it is of a run without stages or of a stage that there is not, or a finished stage was another one.
    """
    number = last["config"].get("stage")
    if len(stages) == 1 and stages[0].get("stage") in (None, number):
        return stages[0]
    advice = "set it back, or start a new run with another model_name"
    if number is None:
        raise InputError(f"resume=true, but use_curriculum is true and was false in {path}; {advice}")
    if number > len(stages):
        raise InputError(f"resume=true, but {path} is of stage {number}, and curriculum has {len(stages)}; {advice}")
    for then, now in zip(last["history"]["finished"], stages, strict=False):
        step = f"curriculum.{STEP}{then['stage']}"
        try:
            check_same_experiment(_start_aside(then["config"]), _start_aside(now), path)
        except InputError as error:
            raise InputError(f"{step}: {error}") from None
        if then["config"]["num_epochs"] != now["num_epochs"]:
            raise InputError(
                f"{step}: resume=true, but num_epochs is {now['num_epochs']} and was {then['config']['num_epochs']} in "
                f"{path}, and this stage has ended; {advice}"
            )
    return {**stages[number - 1], "carry_from": last["config"]["carry_from"]}


def _start_aside(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without the place of the stage before, which moves with the run's folder."""
    return {key: value for key, value in config.items() if key != "carry_from"}
