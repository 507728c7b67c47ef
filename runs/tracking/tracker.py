"""What every tracker does: it is told what a run finds, and shows it somewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Record = Mapping[str, Any]
"""A line of metrics.jsonl."""


@dataclass(frozen=True)
class EmbeddedVideos:
    """Videos as points: what a projector shows."""

    features: dict[str, NDArray[np.float32]]
    """By level, lowest first: [N, D]."""
    texts: dict[str, list[str]]
    """What is known of each of the N videos, by title: its path, and the classes of every label set."""
    thumbnails_NCHW: NDArray[np.uint8]
    """A square picture of each, RGB."""


class Tracker(Protocol):
    """One place where a run can be watched.

    Any method may raise: `Tracking` turns that into one warning and goes on without the tracker.
    """

    def start(self, earlier: Sequence[Record]) -> None:
        """Called once, before the first record.

        Args:
            earlier: the records of earlier parts of the run, none for a new one. What those logged after their last
                checkpoint is not among them: it comes again.
        """

    def record(self, record: Record) -> None:
        """Shows a record as it is logged."""

    def results(self, summary: Record, embed: Callable[[], EmbeddedVideos]) -> None:
        """Shows what the end of the run has left in its folder.

        Args:
            summary: as in summary.json.
            embed: makes the test videos as points; it takes seconds, so only those call it who show them.
        """

    def close(self, finished: bool) -> None:
        """Writes what is left to write; `finished`: the run came to its end."""
