"""The converting processes of this process: kept from chunk to chunk, for they take half a second to start."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from data_utils.video_files.helper_process import ClosedError, HelperProcess

COMMAND = (sys.executable, "-m", "data_utils.prepare.conversion.converter")


class ConverterPool:
    """Lends processes to threads, and can end them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[tuple[float, tuple[str, ...]], HelperProcess]] = []
        self._lent: set[HelperProcess] = set()
        self._stopped = False

    @contextmanager
    def lend(self, patience: float, command: Sequence[str]) -> Iterator[HelperProcess]:
        """A process for the block; arguments as for HelperProcess. ClosedError: after `stop`."""
        kind = (patience, tuple(command))
        with self._lock:
            if self._stopped:
                raise ClosedError
            found = next((pair for pair in self._idle if pair[0] == kind), None)
            if found:
                self._idle.remove(found)
            process = found[1] if found else HelperProcess(patience, command, "converts videos")
            self._lent.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._lent.discard(process)
                if not self._stopped:
                    self._idle.append((kind, process))

    def start(self) -> None:
        """Allows lending again after `stop`."""
        with self._lock:
            self._stopped = False

    def check_stopped(self) -> None:
        """Raises ClosedError after `stop`."""
        if self._stopped:
            raise ClosedError

    def stop(self) -> None:
        """Ends all processes, busy ones too, and lends none any more."""
        with self._lock:
            self._stopped = True
            processes = [*self._lent, *(process for _, process in self._idle)]
            self._idle.clear()
        for process in processes:
            process.close()


POOL = ConverterPool()
"""The pool of this process: joblib's workers reach it whatever runs them."""
