"""How far a long piece of work is: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 20.0

logger = logging.getLogger(__name__)


class VideoProgress:
    """Counts what is done and says when the rest will be."""

    def __init__(self, what: str, total: int, unit: str, done: int = 0) -> None:
        """Shows the start.

        Args:
            what: the work: "verifying videos".
            total: units of all of it.
            unit: one of them: "video".
            done: units that are done already and say nothing about the speed.
        """
        self._what, self._total, self._done, self._before = what, total, done, done
        self._began = self._spoken = time.monotonic()
        self._bar = tqdm(
            total=total, initial=done, desc=what, unit=unit, disable=not sys.stderr.isatty(), dynamic_ncols=True
        )

    def add(self, units: int = 1, note: str = "") -> None:
        """Counts units that are done now; `note` is shown beside them."""
        self._done += units
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(units)
        now = time.monotonic()
        if self._bar.disable and self._done < self._total and now - self._spoken > SECONDS_BETWEEN_LINES:
            self._spoken = now
            left = (now - self._began) / max(self._done - self._before, 1) * (self._total - self._done)
            notes = f", {note}" if note else ""
            logger.info("%s: %d of %d%s, about %s left", self._what, self._done, self._total, notes, duration(left))

    def __enter__(self) -> VideoProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()


def duration(seconds: float) -> str:
    """Seconds for people: "40 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
