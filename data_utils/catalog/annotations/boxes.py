"""Boxes with times: where something is in a frame, what it is, and which of them are the same thing.

One CSV file for all splits, beside theirs: a row per box and class, as AVA publishes them (Gu et al., 2018, arXiv
1705.08421), by the videos' paths and with names for the columns:

    path,time,x1,y1,x2,y2,label,track
    kitchen/7.mp4,902.0,0.077,0.151,0.283,0.811,stand,3

`time` counts seconds from the first frame. Corners are shares of the upright frame's width and height, from its upper
left. A box that shows several classes has a row for each. `track` may be left out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog.annotations.classes import sorted_classes
from data_utils.catalog.catalog_file import normalise_paths, read_csv
from data_utils.catalog.label_text import normal_text

NO_TRACK = -1
_CORNERS = ("x1", "y1", "x2", "y2")
_COLUMNS = ("path", "time", *_CORNERS, "label")

logger = logging.getLogger(__name__)


class VideoBoxes(NamedTuple):
    """The M boxes of one video, in the order of their times."""

    time_M: NDArray[np.float64]
    """Seconds from the first frame."""
    box_M4: NDArray[np.float64]
    """x1, y1, x2, y2 in [0, 1] of the upright frame."""
    class_M: NDArray[np.int64]
    track_M: NDArray[np.int64]
    """Equal for the same thing at different times, within a video; NO_TRACK: not known."""

    def taken(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> VideoBoxes:
        """Some of the boxes."""
        return VideoBoxes(self.time_M[index], self.box_M4[index], self.class_M[index], self.track_M[index])


@dataclass(frozen=True)
class Boxes:
    """The boxes of one split."""

    name: str
    """The file without its ending."""
    classes: list[str]
    """Names, the same for all splits."""
    ends_N: NDArray[np.int64]
    """The boxes of video n are ends[n - 1] to ends[n] of `all`."""
    all: VideoBoxes
    """The boxes of all videos, one after another."""
    kind: Literal["boxes"] = "boxes"

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[N] whether each video has a box."""
        known: NDArray[np.bool_] = np.diff(self.ends_N, prepend=0) > 0
        return known

    def of(self, row: int) -> VideoBoxes:
        """The boxes of one video."""
        span = slice(self.ends_N[row - 1] if row else 0, self.ends_N[row])
        return self.all.taken(span)

    def text(self, row: int) -> str:
        """How many boxes a video has, and the classes that they show; empty where it has none."""
        own = self.of(row).class_M
        names = ", ".join(self.classes[number] for number in np.unique(own))
        return f"{len(own)} x {names}" if len(own) else ""

    def with_rows(self, keep_N: NDArray[np.bool_]) -> Self:
        """The boxes of some of the videos."""
        counts_N = np.diff(self.ends_N, prepend=0)
        keep_M = np.repeat(keep_N, counts_N)
        return replace(self, ends_N=np.cumsum(counts_N[keep_N]), all=self.all.taken(keep_M))


def boxes_of(name: str, tables: Mapping[str, pd.DataFrame], folder: Path) -> dict[str, Boxes]:
    """The boxes of every split, from `<name>.csv`.

    Args:
        name: of the file.
        tables: catalog by split, as `read_csv` gives it.
        folder: of the CSV files.

    Raises:
        InputError: the file is missing or no CSV, a column is missing, or a cell cannot be what its column says.
    """
    file = folder / f"{name}.csv"
    table = read_csv(file)
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise InputError(f"{file} has no column '{missing[0]}'; boxes need {', '.join(_COLUMNS)}, and may have track")
    normalise_paths(table, "path", file)
    numbers = {column: _numbers(table, column, file) for column in ("time", *_CORNERS)}
    box_M4 = np.stack([numbers[column] for column in _CORNERS], axis=1)
    _refuse_impossible(table, numbers["time"], box_M4, file)
    names = [normal_text(cell) for cell in table["label"].tolist()]
    if "" in names:
        raise InputError(f"{file}, line {table.index[names.index('')]}: nothing in column 'label'; fill it in")
    classes = sorted_classes(set(names))
    class_M = pd.Index(classes).get_indexer(pd.Index(names)).astype(np.int64)
    everything = VideoBoxes(numbers["time"], box_M4, class_M, _tracks(table))
    _tell_unlisted(table["path"], tables, file)
    return {split: _of_split(name, classes, everything, table["path"], part) for split, part in tables.items()}


def _of_split(
    name: str, classes: list[str], everything: VideoBoxes, paths_M: pd.Series[str], table: pd.DataFrame
) -> Boxes:
    """The boxes of the videos of `table`, sorted by its rows and by time."""
    row_M = pd.Index(table["path"]).get_indexer(pd.Index(paths_M))
    order = np.lexsort((everything.time_M, row_M))
    order = order[row_M[order] >= 0]
    counts_N = np.bincount(row_M[order], minlength=len(table))
    return Boxes(name, classes, np.cumsum(counts_N), everything.taken(order))


def _numbers(table: pd.DataFrame, column: str, file: Path) -> NDArray[np.float64]:
    """A column as finite numbers."""
    values: list[float] = []
    for line, cell in zip(table.index, table[column].tolist(), strict=True):
        try:
            values.append(float(cell))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise InputError(f"{file}, line {line}: {cell!r} in column '{column}' is not a number; correct it")
    return np.array(values, np.float64)


def _refuse_impossible(
    table: pd.DataFrame, time_M: NDArray[np.float64], box_M4: NDArray[np.float64], file: Path
) -> None:
    is_outside = np.logical_or(box_M4 < 0, box_M4 > 1).any(axis=1)
    is_empty = np.less_equal(box_M4[:, 2:], box_M4[:, :2]).any(axis=1)
    faults = {
        "time is below 0; it counts seconds from the first frame": time_M < 0,
        "a corner lies outside [0, 1]; corners are shares of the frame's width and height, not pixels": is_outside,
        "the box has no area; x1 must be less than x2, and y1 less than y2": is_empty,
    }
    for what, is_wrong in faults.items():
        wrong = np.flatnonzero(is_wrong)
        if len(wrong):
            raise InputError(f"{file}, line {table.index[wrong[0]]}: {what}")


def _tracks(table: pd.DataFrame) -> NDArray[np.int64]:
    """A number for every name of a track."""
    if "track" not in table:
        return np.full(len(table), NO_TRACK, np.int64)
    cells = table["track"].map(normal_text)
    numbers = pd.factorize(cells)[0].astype(np.int64)
    numbers[(cells == "").to_numpy()] = NO_TRACK
    return numbers


def _tell_unlisted(paths: pd.Series[str], tables: Mapping[str, pd.DataFrame], file: Path) -> None:
    """Says how many boxes are of videos that no split lists."""
    listed = pd.concat([table["path"] for table in tables.values()])
    unlisted = int((~paths.isin(listed)).sum())
    if unlisted:
        logger.warning("%s: %d of %d boxes are of videos that no split lists", file, unlisted, len(paths))
