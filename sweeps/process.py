"""A program of this repository in a process of its own; what it prints goes to a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRINTED_NOTHING = "it printed nothing"


class PythonProcess:
    """A process that runs Python; it is started at once, and its output is added to a log."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Starts it.

        Args:
            arguments: of `python`.
            log: a file; its folder is made where it is missing.
            variables: of the environment, beside those of this process.
            folder: that it runs in; None: this process's.

        Raises:
            OSError: the log cannot be written.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        """Where its output goes."""
        with log.open("ab") as output:
            self._began = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def status(self) -> int | None:
        """Its exit status, 128 + the signal's number where one killed it; None while it runs."""
        status = self._process.poll()
        return 128 - status if status is not None and status < 0 else status

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        self._process.wait()
        status = self.status
        assert status is not None
        return status

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal, if it still runs."""
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def last_line(self) -> str:
        """The last line that it printed."""
        lines = self.log.read_bytes()[self._began :].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else PRINTED_NOTHING


def run_python(arguments: Sequence[str], threads: int, log: Path) -> str | None:
    """Runs a program in the repository's folder to its end, with so many threads.

    Returns:
        None where it ended well, else why not: its last line.
    """
    process = PythonProcess(arguments, log, {"OMP_NUM_THREADS": str(threads)}, ROOT)
    status = process.wait()
    return None if status == 0 else why(status, process.last_line)


def why(status: int, last_line: str) -> str:
    """Why a process did not end well."""
    return f"killed by signal {status - 128}: {last_line}" if status > 128 else last_line
