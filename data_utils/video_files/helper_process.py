"""A decoder that crashes or hangs on a broken file must take only its own process with it.

`HelperProcess` is our end, `answer_requests` the process's: one JSON value a line asks, one JSON object a line
answers, and `{}` says "still at it". The process ends when we do, however we end.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from config.errors import InputError

# Imports take seconds, on a slow machine with other work half a minute: no start is given up early.
_SECONDS_TO_START = 600.0
_SECONDS_TO_DIE = 60.0  # of a process that has closed its pipe: a large one takes its time
_SECONDS_BETWEEN_SIGNS = 1.0
_SHARE_OF_A_CORE = 0.25  # that a process needs to be said to run
_PATIENCES = 10  # after which a process that gets no time is given up, too
_REPOSITORY = Path(__file__).resolve().parents[2]


class HelperError(Exception):
    """The process did not answer; the message is the reason. It is started anew for the next request."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        """`status`: exit status of a process that died by itself."""
        super().__init__(reason)
        self.status = status


class FaultError(InputError):
    """The process failed in a way that no file explains: this program, or the version of a package, is at fault.

    It is reported in one line and ends the run at once: taken for bad videos, it would be repeated for each of them.
    """


class ClosedError(Exception):
    """`close` was called."""


class HelperProcess:
    """One process, started when it is needed, and again after a request has killed it.

    `ask` belongs to one thread; `close` may be called from any.
    """

    def __init__(self, patience: float, command: Sequence[str], purpose: str) -> None:
        """Starts nothing yet.

        Args:
            patience: seconds without a sign of life after which a process that works on a request counts as hanging
                and is killed; starting it does not count.
            command: starts the process.
            purpose: what it does, for messages: "verifies videos".
        """
        self._patience, self._command, self._purpose = patience, command, purpose
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, request: object) -> dict[str, Any]:
        """The answer to a request that JSON can hold.

        Raises:
            HelperError: the process hangs or crashed.
            FaultError: this program is at fault.
            ClosedError: `close` was called.
            RuntimeError: the process does not start.
        """
        process = self._started()
        try:
            answer = self._exchange(process, request)
        except TimeoutError:
            self._end(process, seconds=0)
            raise HelperError(f"damaged: decoding makes no progress for {self._patience:g} seconds") from None
        except (BrokenPipeError, EOFError):
            status = self._end(process, _SECONDS_TO_DIE)
            if self._closed:
                raise ClosedError from None
            raise HelperError(f"the decoder crashed (exit status {status})", status) from None
        if "fault" in answer:
            raise FaultError(
                f"the process that {self._purpose} failed, and no file explains it: {answer['fault']}; install the "
                f"versions of requirements.txt (run_scripts/setup_environment.sh does), or report it (it was asked for "
                f"{json.dumps(request):.200})"
            )
        return answer

    def close(self) -> None:
        """Ends the process; none is started afterwards."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            self._end(process, seconds=0)

    def _started(self) -> subprocess.Popen[bytes]:
        """The running process."""
        with self._lock:
            if self._closed:
                raise ClosedError
            if self._process is not None:
                return self._process
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
            self._listen(process, _SECONDS_TO_START)
        except (EOFError, TimeoutError) as error:
            self._end(process, seconds=0)
            if self._closed:
                raise ClosedError from None
            raise RuntimeError(f"the process that {self._purpose} does not start: {self._command}") from error
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: object) -> dict[str, Any]:
        assert process.stdin is not None
        # JSON keeps any name on one line, with `surrogateescape`d bytes as they are.
        line = json.dumps(request).encode() + b"\n"
        try:
            while line:  # a raw pipe may take a part
                line = line[process.stdin.write(line) or 0 :]
        except ValueError:  # closed by `close`
            raise EOFError from None
        while not (answer := self._listen(process, self._patience)):
            pass  # it is at work
        return answer

    def _listen(self, process: subprocess.Popen[bytes], patience: float) -> dict[str, Any]:
        """One line of the process. Raises TimeoutError after `patience` seconds, EOFError when it is dead."""
        assert process.stdout is not None
        try:
            busy = _Busy(process.pid, patience)
            while not select.select([process.stdout], [], [], patience)[0]:
                if not busy.with_others():
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


class _Busy:
    """Tells a process that hangs from one that gets no time, as the machine or its disk is busy with others."""

    def __init__(self, pid: int, patience: float) -> None:
        self._pid, self._patience = pid, patience
        self._times = 0
        self._used: float | None = None

    def with_others(self) -> bool:
        """Whether the process, silent for as long as the patience lasts, wants to run and hardly could."""
        self._times += 1
        try:
            process = psutil.Process(self._pid)
            wants = process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
            used = sum(process.cpu_times()[:2])
        except psutil.Error:
            return False
        before, self._used = self._used, used
        could = before is not None and used - before > _SHARE_OF_A_CORE * self._patience
        return wants and not could and self._times < _PATIENCES


class Voice:
    """The process's end of the pipe."""

    def __init__(self) -> None:
        self._spoken = time.monotonic()
        self._lock = threading.Lock()

    def say(self, answer: dict[str, Any]) -> None:
        """Answers the request; `{}`: still at it."""
        with self._lock:
            print(json.dumps(answer), flush=True)
            self._spoken = time.monotonic()

    def alive(self) -> None:
        """Gives a sign of life where the last one is a second old."""
        if time.monotonic() - self._spoken > _SECONDS_BETWEEN_SIGNS:
            self.say({})

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Gives signs of life while the block runs: for work that decodes nothing of a stranger's."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_SECONDS_BETWEEN_SIGNS):
                self.alive()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def answer_requests(answer: Callable[[Any, Voice], dict[str, Any]]) -> None:
    """Answers the requests on standard input, one a line, until it is closed.

    Args:
        answer: gets a request and a Voice for signs of life, returns the answer.
    """
    parent = os.getppid()

    def die_with_parent() -> None:
        # A decoder that hangs would outlive a killed parent: it reads no more requests, so it sees no end of them.
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_SIGNS)
        os._exit(1)

    threading.Thread(target=die_with_parent, daemon=True).start()
    voice = Voice()
    voice.say({})
    with suppress(BrokenPipeError):
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answered = answer(request, voice)
            except BrokenPipeError:
                raise
            except Exception as error:  # what files may cause was answered; whoever asked raises this
                answered = {"fault": _told(error)}
            voice.say(answered)


def _told(error: Exception) -> str:
    """An error in one line: its kind, its first line, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text:.300} ({Path(place.filename).name}, line {place.lineno})"
