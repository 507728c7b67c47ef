"""Checkpoints of a run that is under way: task, trainer and history belong to one step, or nothing is written.

A disk that is full, or a network that is gone, for a while ends no training: what could not be written is told, and
written at the next try. Only where a run ends with it is it an error.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import torch

from config.schema import Config
from runs.checkpoint import save_checkpoint
from runs.folder import RunFolder
from runs.history import History
from runs.kept_checkpoints import drop_others, keep, numbered, numbered_steps
from runs.lock import RunLock
from runs.process.atomic import UnwritableError
from runs.process.clock import seconds_since_start

if TYPE_CHECKING:
    from tasks.task import Task
    from train import Trainer

logger = logging.getLogger(__name__)


class Saver:
    """Saves what a run has reached, and keeps the checkpoints that `checkpoint` of the config asks for.

    Args:
        run: its folder.
        lock: is looked at before each save: a run that has lost its folder to another one writes nothing there.
        config: goes into the checkpoints.
        task: in training.
        trainer: trains it.
        history: of the run; its times, bad steps and runners-up are brought up to date.
        facts: that every checkpoint holds beside them: the program that wrote it, the fingerprint of the data.
        continued: the checkpoint that the run goes on from; None: it begins.
    """

    def __init__(
        self,
        run: RunFolder,
        lock: RunLock,
        config: Config,
        task: Task,
        trainer: Trainer,
        history: History,
        facts: dict[str, Any],
        continued: Path | None = None,
    ) -> None:
        self._run, self._lock, self._config = run, lock, config
        self._task, self._trainer, self._history, self._facts = task, trainer, history, facts
        self._seconds_before = history.wall_seconds  # in earlier parts of the run
        self._saved_at = monotonic()
        # The step of last.pt; None: there is none, or it is damaged, and must not stay as if it were good.
        self._last_step = history.total_steps if continued == run.last else None
        self._waiting: dict[Path, dict[str, Any]] = {}  # chosen checkpoints that the disk has had no room for

    def save_if_due(self) -> None:
        """Writes last.pt after each so many steps, or where so much time has passed since the latest one."""
        settings = self._config.checkpoint
        # By the step's number alone: a run that was interrupted in between is saved where it would have been.
        due = settings.every_steps is not None and self._history.step % settings.every_steps == 0
        minutes = (monotonic() - self._saved_at) / 60
        if due or (settings.every_minutes is not None and minutes >= settings.every_minutes):
            self.save_last()

    def save_last(self, *, must: bool = False) -> None:
        """Writes last.pt; between two steps.

        Args:
            must: the run ends with it. Otherwise, a disk that is full is told, and the run goes on.

        Raises:
            UnwritableError: it must be written, and cannot be; the one before is as it was.
        """
        self._saved_at = monotonic()
        self._lock.check()
        try:
            self._write_waiting()
            self._write_last()
        except UnwritableError as error:
            if must:
                raise
            logger.warning("%s; the run goes on, and tries again with the next checkpoint", error)

    def save_among_best(self, score: float, *, can_choose: bool) -> None:
        """Writes best.pt, or a runner-up, where a validation has found one; see `History.is_best`.

        Args:
            score: of the validation, percent.
            can_choose: false where scores say nothing, and the latest is taken.
        """
        history, places = self._history, self._config.checkpoint.keep_best - 1
        was = [history.best_score, history.total_best_step]
        self._lock.check()
        if history.is_best(score, can_choose):
            if places and can_choose and was[0] is not None:
                self._make_runner_up(was)
            self._write_or_wait(self._run.best)
        elif places:
            history.runners_up.append([score, history.total_steps])
            # Of equal ones the later, as of the best.
            history.runners_up = sorted(history.runners_up, reverse=True)[:places]
            if history.total_steps in self._runners_up():
                self._write_or_wait(numbered(self._run.best, history.total_steps))
        self._forget_others()

    def save_what_was_reached(self) -> None:
        """Writes last.pt after an error, where that has left a sound state."""
        # Not in the middle of a step, nor where its line is missing: a checkpoint fits the records.
        if self._trainer.step == self._history.step and self._trainer.roll_back():
            self.save_last(must=True)

    def save_best(self) -> None:
        """Writes best.pt, whatever was best before, at the end of the training. Raises UnwritableError."""
        self._lock.check()
        self._waiting.clear()
        save_checkpoint(self._state(), self._run.best)

    def _state(self) -> dict[str, Any]:
        history, trainer = self._history, self._trainer
        history.wall_seconds = self._seconds_before + seconds_since_start()
        history.bad_steps = trainer.bad_steps
        state = {"task": self._task.state_dict(), "trainer": trainer.state_dict(), "history": history.state_dict()}
        return state | {"config": self._config.model_dump(), "run": history.run} | self._facts

    def _write_last(self) -> None:
        """Writes last.pt; the one before stays under its number."""
        last, step, others = self._run.last, self._history.total_steps, self._config.checkpoint.keep_last - 1
        if others and self._last_step is not None and self._last_step != step and last.is_file():
            self._keep(last, self._last_step)
        save_checkpoint(self._state(), last)
        self._last_step = step
        # Those of later steps are of a course that was left: the run goes on from an earlier checkpoint.
        earlier = [number for number in numbered_steps(last) if number < step]
        self._drop_others(last, earlier[:others])

    def _runners_up(self) -> list[int]:
        return [int(step) for _, step in self._history.runners_up]

    def _make_runner_up(self, was: list[Any]) -> None:
        """Lets best.pt, or what waits to become it, stay under its number: `was`, its score and step."""
        best, step = self._run.best, int(was[1])
        try:
            if best in self._waiting:
                self._waiting[numbered(best, step)] = self._waiting.pop(best)
            else:
                self._keep(best, step)
        except UnwritableError as error:
            logger.warning("%s; it is kept no longer", error)
            return
        self._history.runners_up.insert(0, was)
        del self._history.runners_up[self._config.checkpoint.keep_best - 1 :]

    def _write_or_wait(self, path: Path) -> None:
        """Writes a chosen checkpoint, or keeps its state in memory until the disk has room."""
        state = self._state()
        try:
            save_checkpoint(state, path)
            self._waiting.pop(path, None)
        except UnwritableError as error:
            self._waiting[path] = _copied(state)
            logger.warning("%s; the run goes on, and tries again with the next checkpoint", error)

    def _write_waiting(self) -> None:
        """Writes what waits. Before last.pt, which says that it is there. Raises UnwritableError."""
        for path in list(self._waiting):
            save_checkpoint(self._waiting[path], path)
            del self._waiting[path]

    def _forget_others(self) -> None:
        """Drops the runners-up that others have pushed out."""
        steps = self._runners_up()
        stay = {self._run.best, *(numbered(self._run.best, step) for step in steps)}
        self._waiting = {path: state for path, state in self._waiting.items() if path in stay}
        self._drop_others(self._run.best, steps)

    def _keep(self, path: Path, step: int) -> None:
        try:
            keep(path, step)
        except OSError as error:
            raise UnwritableError(f"cannot write {numbered(path, step)}: {error.strerror or error}") from error

    def _drop_others(self, path: Path, steps: list[int]) -> None:
        try:
            drop_others(path, steps)
        except OSError as error:
            logger.warning("cannot remove what is beside %s: %s", path, error.strerror or error)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """The same values in memory of their own, on the CPU."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    copied: dict[str, Any] = torch.load(buffer, map_location="cpu", weights_only=True)
    return copied
