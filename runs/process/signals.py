"""Ctrl-C or a scheduler's signal in the middle of a step would lose everything since the last checkpoint.

`StopRequest` turns the first one into a wish that the loop honours after its step. Around it, where there is nothing to
save, `EndOnSignal` makes every signal end the program as Ctrl-C does: files are closed and processes are ended.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from runs.process.dead_workers import is_of_a_dead_worker


class Ended(KeyboardInterrupt):
    """A signal ends the program: `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


class _Handled(ABC):
    """Context manager (main thread only) that handles SIGINT, SIGTERM, SIGUSR1 and, unless `nohup` ignores it, SIGHUP.

    Processes that are forked inside take over the handlers: they leave Ctrl-C to their parent and die of the others.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._previous: dict[int, Any] = {}

    def _install(self) -> None:
        self._process = os.getpid()
        self._previous = {number: signal.signal(number, self._handle) for number in _handled_signals()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() == self._process:
            self._react(number)
        elif number != signal.SIGINT:  # that is how a parent ends its workers
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    @abstractmethod
    def _react(self, number: int) -> None:
        """Does what the signal asks for."""


class EndOnSignal(_Handled):
    """Context manager (main thread only): the first signal raises Ended, and so does every further Ctrl-C.

    Schedulers repeat SIGTERM, which must not disturb the end that the first one began.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ending = False

    def __enter__(self) -> EndOnSignal:
        self._install()
        return self

    def _react(self, number: int) -> None:
        if number == signal.SIGINT or not self._ending:
            self._ending = True
            raise Ended(number)


class StopRequest(_Handled):
    """Context manager (main thread only): the first signal sets `requested`, a further Ctrl-C raises Ended.

    Processes that decode must be started inside the context: they take over its handlers, and so outlive a Ctrl-C
    (which a terminal sends to them, too) until the loop has ended its step.
    """

    def __init__(
        self, note: str = "the run stops after this step or validation and saves last.pt; Ctrl-C again ends it now"
    ) -> None:
        """`note`: what the first signal's message says will happen; empty: there is none."""
        super().__init__()
        self._note = note
        self.signal: int | None = None
        """The number of the first signal; None: none came."""

    @property
    def requested(self) -> bool:
        """Whether a signal asked to stop."""
        return self.signal is not None

    def __enter__(self) -> StopRequest:
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        # Slurm sends a signal to all processes of a job: that a loader process died of it is no news.
        if self.signal and error is not None and is_of_a_dead_worker(error):
            raise Ended(self.signal) from error

    def _react(self, number: int) -> None:
        if not self.requested:
            self.signal = number
            name = signal.Signals(number).name
            note = f"\n{name}: {self._note}\n" if self._note else ""
            # os.write: print() fails where the signal arrives in the middle of another print().
            with suppress(OSError):  # nobody reads: the wish stands all the same
                os.write(2, note.encode())
        elif number == signal.SIGINT:
            raise Ended(number)


def _handled_signals() -> Sequence[int]:
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # USR1: Slurm's warning of the time limit
    return handled if ignored else (*handled, signal.SIGHUP)
