"""How much memory a run needs: the number by which somebody chooses a machine must count its processes, all of them."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil


class MemoryWatch:
    """Context manager that looks, once in a while, at the memory of this process and all that it started.

    Pages that processes share count once (Linux's proportional set size), so that forked workers do not count what
    they took over from their parent. A peak between two looks is missed.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        """`seconds` between two looks; one takes milliseconds."""
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._peak = 0

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """The largest sum so far, this moment included, MB (10^6 bytes)."""
        self._look()
        return self._peak / 1e6

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            self._look()

    def _look(self) -> None:
        own = psutil.Process()
        self._peak = max(self._peak, sum(bytes_of(process) for process in [own, *own.children(recursive=True)]))


def bytes_of(process: psutil.Process) -> int:
    """Proportional set size; 0 of a process that has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
