"""The outcome for every video, and its summary for the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.catalog.catalog_file import SPLITS
from data_utils.prepare.conversion.out_folder import Record
from data_utils.prepare.conversion.pixel_statistics import PixelSums, Triple
from data_utils.prepare.sources import Unused
from data_utils.prepare.unused import counted
from data_utils.video_files.inspection import FACTS
from data_utils.video_files.progress import duration

_NAMES = 3
_REASONS = 10


class Results:
    """The records of all chunks, in arrays: lists of a million records would take gigabytes."""

    def __init__(self, table: pd.DataFrame) -> None:
        """`table`: the videos, sorted by path."""
        self.table = table
        number = len(table)
        self.facts = {name: np.zeros(number, np.float64 if name == "fps" else np.int64) for name in (*FACTS, "bytes")}
        self.places = np.full(number, "", object)
        self.reasons = np.full(number, "", object)
        """Empty for good videos."""
        self._train = (table["split"] == "train").to_numpy()
        self._sums: dict[int, list[int]] = {}

    def add(self, first: int, records: Sequence[Record]) -> None:
        """Takes the records of a chunk whose first video is row `first`; those of an earlier start are replaced."""
        sums = PixelSums()
        for row, record in enumerate(records, start=first):
            self.reasons[row] = record.get("reason", "")
            self.places[row] = record.get("stored", "")
            for name, values in self.facts.items():
                values[row] = record.get(name, 0)
            if self._train[row] and "sums" in record:
                sums.add(record["sums"])
        self._sums[first] = sums.values

    def stored(self, rows: range) -> list[tuple[str, str, int]]:
        """(path, stored, frames) of the good videos among some rows."""
        paths, frames = self.table["path"], self.facts["frames"]
        return [(paths.iloc[row], self.places[row], int(frames[row])) for row in rows if not self.reasons[row]]

    def number_stored(self, rows: range) -> int:
        """How many of some rows are good."""
        return int((self.reasons[rows.start : rows.stop] == "").sum())

    def sums(self) -> PixelSums:
        """Pixel sums of the good training videos."""
        total = PixelSums()
        for values in self._sums.values():
            total.add(values)
        return total


@dataclass
class Summary:
    """The dataset that was made, in numbers."""

    name: str
    made: str
    """Format and size, for people."""
    videos: dict[str, int]
    """By split, those in the catalogs."""
    frames: dict[str, int] = field(default_factory=dict)
    """By split; empty where nothing was decoded."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By split, of video; 0 where no frame rate is known."""
    bytes: int = 0
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    """(split, path, reason) of what was left out."""
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (0.0, 0.0, 0.0)
    small_splits: list[str] = field(default_factory=list)
    """Warns how uncertain scores are where there are few videos."""
    config: str = ""
    """Lines of a config that reads it."""
    bad_videos: Path = Path()
    unused: list[Unused] = field(default_factory=list)
    """Files of the download that are not videos of the dataset."""
    unused_files: Path = Path()
    """Where they are listed."""

    @property
    def bad_share(self) -> float:
        """Share of the listed videos that was left out."""
        return len(self.bad) / max(1, len(self.bad) + sum(self.videos.values()))

    def lines(self) -> list[str]:
        """The summary for the terminal."""
        lines = [f"{self.name}, {self.made}", *self._table(), *self._bad_lines(), *self._unused_lines()]
        lines.append(f"mean {_triple(self.mean)}  std {_triple(self.std)}  (of training pixels in [0, 1])")
        lines += [
            f"note: {split}.csv is empty; training needs videos in every split"
            for split in SPLITS
            if not self.videos[split]
        ]
        lines += [f"note: {line}" for line in self.small_splits]
        return [*lines, "", "to train on it, put into your config:", *(f"  {line}" for line in self.config.split("\n"))]

    def _table(self) -> list[str]:
        rows = [[split, f"{self.videos[split]:,} videos", *self._extent([split])] for split in SPLITS]
        rows.append(["all", f"{sum(self.videos.values()):,} videos", *self._extent(list(SPLITS))])
        rows[-1].append(bytes_text(self.bytes))
        widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[-1]))]
        return [
            "  "
            + "  ".join(
                cell.ljust(width) if cell is row[0] else cell.rjust(width)
                for cell, width in zip(row, widths, strict=False)
            ).rstrip()
            for row in rows
        ]

    def _extent(self, splits: list[str]) -> list[str]:
        if not self.frames:
            return []
        frames = f"{sum(self.frames[split] for split in splits):,} frames"
        seconds = sum(self.seconds[split] for split in splits)
        return [frames, duration_of_video(seconds)] if any(self.seconds.values()) else [frames]

    def _unused_lines(self) -> list[str]:
        if not self.unused:
            return []
        return [*unused_lines(self.unused), f"  all of them: {self.unused_files}"]

    def _bad_lines(self) -> list[str]:
        """The commonest reasons first, each with some names."""
        listed = len(self.bad) + sum(self.videos.values())
        if not self.bad and not self.frames:
            return ["left out: not known yet: --verify, or the first training, decodes every file"]
        if not self.bad:
            return [f"left out: 0 of {listed:,} listed videos"]
        kinds: dict[str, list[tuple[str, str]]] = {}
        for _, path, reason in self.bad:
            kinds.setdefault(re.sub(r"[0-9.]+", "N", reason), []).append((path, reason))
        lines = [f"left out: {len(self.bad):,} of {listed:,} listed videos ({self.bad_share:.2%})"]
        ranked = sorted(kinds.values(), key=len, reverse=True)
        for videos in ranked[:_REASONS]:
            reason = videos[0][1] + (", or similar" if len({reason for _, reason in videos}) > 1 else "")
            names = ", ".join(shown(path) for path, _ in videos[:_NAMES]) + (", ..." if len(videos) > _NAMES else "")
            lines.append(f"  {len(videos):>6,}  {reason}: {names}")
        if len(ranked) > _REASONS:
            lines.append(f"  and {len(ranked) - _REASONS} other reasons")
        return [
            *lines,
            f"  all of them: {self.bad_videos}; repaired files are tried again, --retry-bad tries all again",
        ]


def unused_lines(unused: Sequence[Unused]) -> list[str]:
    """How many files of a download are not videos of the dataset, and why: the commonest reasons first, with names."""
    if not unused:
        return []
    files = "1 file" if len(unused) == 1 else f"{len(unused):,} files"
    lines = [f"not used: {files} of the download"]
    reasons = counted(unused)
    for reason, paths in reasons[:_REASONS]:
        names = ", ".join(shown(path) for path in paths[:_NAMES]) + (", ..." if len(paths) > _NAMES else "")
        lines.append(f"  {len(paths):>6,}  {reason}: {names}")
    if len(reasons) > _REASONS:
        lines.append(f"  and {len(reasons) - _REASONS} other reasons")
    return lines


def shown(path: str) -> str:
    """A path on one line, whatever is in it."""
    return path if path.isprintable() else ascii(path)[1:-1]


def duration_of_video(seconds: float) -> str:
    """Hours where there are some."""
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else duration(seconds)


def _triple(values: Triple) -> str:
    return "[" + ", ".join(f"{value:.3f}" for value in values) + "]"


def bytes_text(number: float) -> str:
    """A number of bytes for people: three digits and a unit."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = 0
    while number >= 1000 and power < len(units) - 1:
        number, power = number / 1000, power + 1
    return f"{number:,.0f} {units[power]}" if power == 0 or number >= 100 else f"{number:.3g} {units[power]}"
