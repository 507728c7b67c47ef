"""Runs many trainings, a few side by side. A failure stops no other run; a signal ends all, which then can go on."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import InputError
from runs.process.signals import StopRequest
from sweeps.process import PythonProcess
from sweeps.slots import Slot
from sweeps.training import Outcome, Training

logger = logging.getLogger(__name__)

_NOTE = "the runs stop after their step or validation and save last.pt; Ctrl-C again ends them now"
_LOOK = 0.1  # seconds between two looks at the processes


def run_all(trainings: Sequence[Training], slots: Sequence[Slot]) -> tuple[dict[str, Outcome], int | None]:
    """Trains every run that is not complete, each slot one at a time.

    Args:
        trainings: in the order in which they are started.
        slots: where they run.

    Returns:
        what has become of the runs, by name, in their order; and the number of the signal that ended this, if one did.

    Raises:
        KeyboardInterrupt: Ctrl-C came twice; all runs have ended.
    """
    queue = _Queue(trainings, slots)
    with StopRequest(_NOTE) as stop:
        try:
            is_passed_on = False
            while queue.running or (queue.left and not stop.requested):
                if not stop.requested:
                    queue.start_what_fits()
                elif not is_passed_on:
                    queue.send(signal.SIGTERM)
                    is_passed_on = True
                time.sleep(_LOOK)
                queue.collect()
        except BaseException as error:
            queue.send(signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
            queue.wait()
            raise
    return queue.outcomes, stop.signal


@dataclass(frozen=True)
class _Running:
    training: Training
    slot: Slot
    process: PythonProcess
    began: float


class _Queue:
    """The runs that are left, those that run, and what has become of the others."""

    def __init__(self, trainings: Sequence[Training], slots: Sequence[Slot]) -> None:
        self.outcomes = {training.name: training.found() for training in trainings}
        self.left = deque(training for training in trainings if self.outcomes[training.name].state != "done")
        self.running: list[_Running] = []
        self._free = deque(slots)
        self._numbers = {training.name: f"{n} of {len(trainings)}" for n, training in enumerate(trainings, start=1)}
        if complete := len(trainings) - len(self.left):
            logger.info("%d of %d runs are complete already", complete, len(trainings))

    def start_what_fits(self) -> None:
        """Starts runs as long as there are free slots."""
        while self.left and self._free:
            training, slot = self.left.popleft(), self._free[0]
            try:
                process = training.start(slot.variables)
            except (InputError, OSError) as error:
                self._note_end(training, Outcome("failed", f"error: {error}"), 0.0)
                continue
            self._free.popleft()
            self.running.append(_Running(training, slot, process, time.monotonic()))
            logger.info("%s, %s: started on %s", self._numbers[training.name], training.name, slot.title)

    def collect(self) -> None:
        """Takes note of the runs that have ended, and frees their slots."""
        for item in [item for item in self.running if item.process.status is not None]:
            self.running.remove(item)
            self._free.append(item.slot)
            self._note_end(item.training, item.training.ended(item.process), time.monotonic() - item.began)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the runs."""
        for item in self.running:
            item.process.send(number)

    def wait(self) -> None:
        """Waits until the runs have ended."""
        for item in self.running:
            item.training.ended(item.process)

    def _note_end(self, training: Training, outcome: Outcome, seconds: float) -> None:
        self.outcomes[training.name] = outcome
        words = outcome.state if outcome.state == "done" else f"{outcome.state}: {outcome.reason}"
        level = logging.WARNING if outcome.state == "failed" else logging.INFO
        logger.log(level, "%s, %s: %s (%.0f s)", self._numbers[training.name], training.name, words, seconds)
