"""What a dataset module finds in a download: the videos, their split and what they show."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Listing:
    """One row per video that is listed and on the disk."""

    name: str
    """The dataset."""
    table: pd.DataFrame
    """Text columns: split, path (relative to the raw folder, unique), label; group, caption, ... where there are any."""
    flip: float
    """Share of training windows to be mirrored: 0.5, or 0 where the labels know left from right."""
    absent: list[tuple[str, str, str]] = field(default_factory=list)
    """(split, path, reason) of what the lists name and the disk does not hold; not in `table`."""
    notes: list[str] = field(default_factory=list)
    """What the user should know: one line each."""
