"""A process that inspects videos for us and may die doing so."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from data_utils.inspection import VideoFacts

COMMAND = (sys.executable, "-m", "data_utils.inspection")
_SECONDS_TO_DIE = 5.0
_REPOSITORY = Path(__file__).resolve().parent.parent


class Inspector:
    """One decoding process, started when it is needed, and again after a file has killed it.

    `inspect` belongs to one thread; `close` may be called from any.
    """

    def __init__(self, patience: float, command: Sequence[str] = COMMAND) -> None:
        """`patience`: seconds without a decoded packet after which the process counts as hanging and is killed."""
        self._patience, self._command = patience, command
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def inspect(self, path: Path) -> VideoFacts | str:
        """The file's facts, or the reason why it is bad.

        Raises:
            RuntimeError: the process does not start.
        """
        process = self._started()
        if process is None:
            return "not verified"
        try:
            answer = self._ask(process, path)
        except TimeoutError:
            self._end(process, seconds=0)
            return f"damaged: decoding makes no progress for {self._patience:g} seconds"
        except (BrokenPipeError, EOFError):
            return f"the decoder crashed (exit status {self._end(process, _SECONDS_TO_DIE)})"
        return str(answer["reason"]) if "reason" in answer else VideoFacts.from_list(answer["facts"])

    def close(self) -> None:
        """Ends the process; none is started afterwards."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            self._end(process, seconds=0)

    def _started(self) -> subprocess.Popen[bytes] | None:
        """The running process; None after `close`."""
        with self._lock:
            if self._closed or self._process is not None:
                return None if self._closed else self._process
            # A session of its own: a Ctrl-C on the terminal is the main process's to handle.
            process = self._process = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=_REPOSITORY,
                start_new_session=True,
            )
        try:
            self._listen(process)
        except (EOFError, TimeoutError) as error:
            self._end(process, seconds=0)
            if self._closed:
                return None
            raise RuntimeError(f"the process that verifies videos does not start: {self._command}") from error
        return process

    def _ask(self, process: subprocess.Popen[bytes], path: Path) -> dict[str, Any]:
        assert process.stdin is not None
        # JSON keeps any name on one line, with `surrogateescape`d bytes as they are.
        process.stdin.write(json.dumps(os.fspath(path.absolute())).encode() + b"\n")
        while not (answer := self._listen(process)):
            pass  # it decodes
        return answer

    def _listen(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """One line of the process. Raises TimeoutError when it hangs, EOFError when it is dead."""
        assert process.stdout is not None
        try:
            if not select.select([process.stdout], [], [], self._patience)[0]:
                raise TimeoutError
            line = process.stdout.readline()
        except ValueError:  # closed by `close`
            raise EOFError from None
        if not line.endswith(b"\n"):
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self, process: subprocess.Popen[bytes], seconds: float) -> int:
        """Waits for the end of the process, kills it after `seconds`, and gives its exit status."""
        if seconds:
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        process.kill()
        status = process.wait()
        with self._lock:
            if self._process is process:
                self._process = None
        return status
