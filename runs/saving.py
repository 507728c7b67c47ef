"""Checkpoints of a run that is under way: task, trainer and history belong to one step, or nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import Config
from runs.checkpoint import save_checkpoint
from runs.folder import RunFolder
from runs.history import History
from runs.lock import RunLock
from runs.process.clock import seconds_since_start

if TYPE_CHECKING:
    from tasks.task import Task
    from train import Trainer


class Saver:
    """Saves what a run has reached.

    Args:
        run: its folder.
        lock: is looked at before each save: a run that has lost its folder to another one writes nothing there.
        config: goes into the checkpoints.
        task: in training.
        trainer: trains it.
        history: of the run; its times and bad steps are brought up to date.
    """

    def __init__(
        self, run: RunFolder, lock: RunLock, config: Config, task: Task, trainer: Trainer, history: History
    ) -> None:
        self._run, self._lock, self._config = run, lock, config
        self._task, self._trainer, self._history = task, trainer, history
        self._seconds_before = history.wall_seconds  # in earlier parts of the run

    def save(self, path: Path) -> None:
        """Writes a checkpoint to `path`; between two steps."""
        self._lock.check()
        history, trainer = self._history, self._trainer
        history.wall_seconds = self._seconds_before + seconds_since_start()
        history.bad_steps = trainer.bad_steps
        state = {"task": self._task.state_dict(), "trainer": trainer.state_dict(), "history": history.state_dict()}
        save_checkpoint(state | {"config": self._config.model_dump(), "run": history.run}, path)

    def save_what_was_reached(self) -> None:
        """Writes last.pt after an error, where that has left a sound state."""
        # Not in the middle of a step, nor where its line is missing: a checkpoint fits the records.
        if self._trainer.step == self._history.step and self._trainer.roll_back():
            self.save(self._run.last)
