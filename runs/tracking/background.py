"""Calls that may hang, one after the other in a thread of their own, so that whoever makes them never waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_MOST_WAITING = 20_000
"""Calls; where so many wait, the first of them hangs."""

Job = Callable[[], object]


class Background:
    """Makes calls in the order in which they come. After one that fails, no further one is made.

    Args:
        name: of the thread.
        at_end: is called when no further call will be made, whatever the reason.
    """

    def __init__(self, name: str, at_end: Job) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(_MOST_WAITING)
        self._error: BaseException | None = None
        self._name, self._at_end = name, at_end
        # A daemon: where a call hangs for good, the process ends all the same.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, job: Job) -> None:
        """Makes a call soon.

        Raises:
            Exception: what an earlier call raised.
            TimeoutError: far too many calls wait.
        """
        self._raise_error()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise TimeoutError(f"{self._name} does not answer") from None

    def end(self, seconds: float) -> bool:
        """Waits until all calls are made, and at most so long; whether they are. Raises what one of them raised."""
        try:
            self._jobs.put_nowait(None)
        except queue.Full:
            return False
        ended = self.wait(seconds)
        self._raise_error()
        return ended

    def wait(self, seconds: float) -> bool:
        """Waits at most so long for the thread to end; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
        except BaseException as error:  # SystemExit, too: in a thread it would vanish
            self._error = error
        self._at_end()

    def _raise_error(self) -> None:
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:  # SystemExit would end the whole program
            raise RuntimeError(f"{self._name} ended: {self._error}")
