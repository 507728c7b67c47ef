"""A run that is trained to its end by `main.py`, however often that takes: it goes on where it was stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runs.folder import RunFolder
from runs.lock import RunLock
from sweeps.process import PRINTED_NOTHING, ROOT, PythonProcess, why

State = Literal["done", "stopped", "failed", "unfinished", "not run"]
_ENDED = "sweep.py: the run ended with status "
_STOPPED = [128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]


@dataclass(frozen=True)
class Outcome:
    """What has become of a run: `done`, or why not."""

    state: State
    reason: str = ""
    """The last line that it printed, where it is not done."""


@dataclass(frozen=True)
class Training:
    """A run to train.

    Attributes:
        name: of the run folder.
        folder: that holds the run folder, and the log `<name>.log`.
        config: what main.py is given: a name in config/ or a path.
        overrides: `key=value` each.
        start_in: the folder that relative paths of the config are meant from; None: that of this process.
        program: that trains it.
    """

    name: str
    folder: Path
    config: str
    overrides: tuple[str, ...] = ()
    start_in: Path | None = None
    program: Path = ROOT / "main.py"

    @property
    def run(self) -> RunFolder:
        """Its run folder."""
        return RunFolder(self.folder / self.name)

    @property
    def log(self) -> Path:
        """What its starts have printed."""
        return self.folder / f"{self.name}.log"

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to its end and scored."""
        return self.run.summary.is_file()

    def start(self, variables: Mapping[str, str], rank: int = 0) -> PythonProcess:
        """Starts it, or goes on where it was stopped.

        Args:
            variables: of the environment, beside those of this process.
            rank: of this process among those that train it together; above 0, its log is one of its own.

        Raises:
            InputError: another process uses its folder.
            OSError: its log cannot be written.
        """
        begun = self.run.last.is_file() if rank else self._has_begun()
        arguments = [str(self.program), self.config, *self.overrides, f"resume={str(begun).lower()}"]
        log = self.log.with_suffix(f".{rank}.log") if rank else self.log
        return PythonProcess(arguments, log, variables, self.start_in)

    def _has_begun(self) -> bool:
        """Whether there is a checkpoint to go on from; what a start left that was killed before that is removed."""
        if self.run.last.is_file():
            return True
        if self.run.config.is_file():
            with RunLock(self.run.lock):
                pass  # nobody uses it
            shutil.rmtree(self.run.root)
        return False

    def ended(self, process: PythonProcess) -> Outcome:
        """What has become of it when its process has ended; the log says it, too, for `found`."""
        status, reason = process.wait(), process.last_line
        with process.log.open("a", encoding="utf-8") as log:
            log.write(f"{_ENDED}{status}\n")
        return self._outcome(status, reason)

    def found(self) -> Outcome:
        """What has become of it, by the files that it has left."""
        if self.is_complete:
            return Outcome("done")
        if not self.log.is_file():
            return Outcome("not run") if not self.run.root.exists() else Outcome("unfinished", "it has no summary.json")
        lines = [line for line in _tail(self.log).splitlines() if line.strip()]
        ended = re.fullmatch(rf"{_ENDED}(\d+)", lines[-1]) if lines else None
        lines = lines[:-1] if ended else lines
        last = lines[-1] if lines else PRINTED_NOTHING
        return self._outcome(int(ended[1]), last) if ended else Outcome("unfinished", last)

    def _outcome(self, status: int, last_line: str) -> Outcome:
        if status == 0 and self.is_complete:
            return Outcome("done")
        return Outcome("stopped", last_line) if status in _STOPPED else Outcome("failed", why(status, last_line))


def train(training: Training, threads: int) -> str | None:
    """Trains a run to its end, or finds it complete.

    Args:
        training: the run.
        threads: that it computes with.

    Returns:
        None where it is complete, else the last line that it printed.

    Raises:
        InputError: another process uses its folder.
    """
    if training.is_complete:
        return None
    outcome = training.ended(training.start({"OMP_NUM_THREADS": str(threads)}))
    return None if outcome.state == "done" else outcome.reason


def _tail(file: Path, letters: int = 20_000) -> str:
    """The end of a text file."""
    with file.open("rb") as opened:
        opened.seek(max(0, os.fstat(opened.fileno()).st_size - letters))
        return opened.read().decode(errors="replace")
