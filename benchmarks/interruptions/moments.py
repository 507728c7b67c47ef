"""The moments at which a run is interrupted by name: a call of a function of the program, before it or after it."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import psutil


def kill() -> None:
    """As the kernel does when memory is full, or a scheduler that has run out of patience: nothing can be done."""
    os.kill(os.getpid(), signal.SIGKILL)


def ask(number: int) -> Callable[[], None]:
    """Sends this process a signal that it handles."""
    return lambda: signal.raise_signal(number)


def ctrl_c_twice() -> None:
    """The first one asks, the second one insists."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def kill_loader_processes() -> None:
    """Kills the processes that read videos, as the kernel does when memory is full."""
    for child in psutil.Process().children():
        if "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()
    time.sleep(1)


def signal_all(number: int) -> Callable[[], None]:
    """Sends a signal to this process and to all that it has started, as Slurm does; to those first."""

    def send() -> None:
        for process in [*psutil.Process().children(recursive=True), psutil.Process()]:
            process.send_signal(number)

    return send


@dataclass(frozen=True)
class Moment:
    """What happens at which call of which function."""

    place: str
    """Module, colon, and the name of a function or a method in it."""
    call: int = 1
    after: bool = False
    action: Callable[[], None] = kill
    statuses: tuple[int, ...] = (-signal.SIGKILL,)
    """Exit statuses that the interrupted run may have; as subprocess has it, a negative number is a signal."""
    resumes: bool = True
    """Whether the run has to be started again to come to its end."""


MAKING = "data is being made"
KILLS = {
    MAKING: Moment("data_utils.prepare.moving_digits:tqdm", after=True),
    "data is being opened": Moment("main:open_experiment"),
    "validation before training": Moment("main:announce"),
    "the first checkpoint": Moment("runs.saving:save_checkpoint"),
    "in the middle of a step": Moment("train:Trainer._descend", 6, after=True),
    "between the parts of a step": Moment("train:Trainer._accumulate", 5, after=True),
    "while weights move": Moment("optimizers:Pace.set", 4, after=True),
    "a checkpoint is half written": Moment("runs.checkpoint:_read_back", 3),
    "the old checkpoint is put aside": Moment("runs.saving:keep", 2, after=True),
    "between best.pt and last.pt": Moment("runs.saving:Saver.save_among_best", after=True),
    "in a validation": Moment("eval:score", 3),
    "after a validation, before its line": Moment("main:announce", 3),
    "in the final test": Moment("eval:score", 5),
    "figures are drawn": Moment("visualization:draw_embeddings"),
    "the report is written": Moment("summary:write_report"),
}
_STEP = "runs.reporting.console:TrainingProgress.update"
SIGNALS = {
    "SIGTERM": Moment(_STEP, 3, action=ask(signal.SIGTERM), statuses=(143,)),
    "SIGTERM in a validation": Moment("main:announce", 3, action=ask(signal.SIGTERM), statuses=(143,)),
    "SIGUSR1": Moment(_STEP, 5, action=ask(signal.SIGUSR1), statuses=(138,)),
    "SIGHUP": Moment(_STEP, 2, action=ask(signal.SIGHUP), statuses=(129,)),
    "Ctrl-C twice": Moment(_STEP, 4, action=ctrl_c_twice, statuses=(130,)),
    "SIGTERM to all processes": Moment(_STEP, 3, action=signal_all(signal.SIGTERM), statuses=(143,)),
    "SIGUSR1 to all processes": Moment(_STEP, 3, action=signal_all(signal.SIGUSR1), statuses=(138,)),
    "loader processes are killed": Moment(_STEP, 2, action=kill_loader_processes, statuses=(1,)),
}
MOMENTS = KILLS | SIGNALS


def function_at(place: str) -> tuple[Any, str]:
    """What holds the function that `Moment.place` names, and its name there."""
    module_name, _, name = place.partition(":")
    *owners, last = name.split(".")
    return reduce(getattr, owners, importlib.import_module(module_name)), last


def set_trap(moment: Moment) -> None:
    """Makes `moment` happen in this process."""
    owner, last = function_at(moment.place)
    function, calls = getattr(owner, last), 0

    def trapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        now = calls == moment.call
        if now and not moment.after:
            moment.action()
        result = function(*arguments, **named)
        if now and moment.after:
            moment.action()
        return result

    setattr(owner, last, trapped)
