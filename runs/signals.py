"""Ctrl-C or a scheduler's SIGTERM in the middle of a step would lose everything since the last checkpoint.

`StopRequest` turns the first one into a wish that the loop honours after its step.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Context manager (main thread only): the first SIGINT or SIGTERM sets `requested`, a further SIGINT interrupts.

    Processes that decode must be started inside the context: they take over its handlers, and so outlive a Ctrl-C
    (which a terminal sends to them, too) until the loop has ended its step.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """The number of the first signal; None: none came."""
        self._process = os.getpid()
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal asked to stop."""
        return self.signal is not None

    def __enter__(self) -> StopRequest:
        self._process = os.getpid()
        self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._handle_in_child(number)
        elif not self.requested:
            self.signal = number
            name = signal.Signals(number).name
            note = f"\n{name}: the run stops after this step and saves last.pt; Ctrl-C again ends it now\n"
            # os.write: print() fails where the signal arrives in the middle of another print().
            with suppress(OSError):  # nobody reads: the wish stands all the same
                os.write(2, note.encode())
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    @staticmethod
    def _handle_in_child(number: int) -> None:
        """Leave Ctrl-C to the parent, die of SIGTERM: that is how a parent ends its workers."""
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
