"""The catalog: which videos a split has, what a full decode found of them, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_utils.catalog.annotations.annotation import Annotation
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.annotations.untrained import Untrained
from data_utils.catalog.dataset_card import Format
from data_utils.video_files.decoding import SeekPoint
from runs.process.seeds import numpy_generator


@dataclass(frozen=True)
class Catalog:
    """The usable videos of one split."""

    split: str
    root: Path
    """Folder that the paths are relative to."""
    table: pd.DataFrame
    """One row per video: path, frames, height, width, fps (facts, not promises), and the other columns of the CSV."""
    labels: dict[str, LabelSet]
    """By column, the last level's first; rows as in `table`. {}: the videos have no labels."""
    listed: int
    """Videos in the CSV, those that cannot be used included."""
    seek_points: dict[str, tuple[SeekPoint, ...]] = field(default_factory=dict)
    """Seek points of long videos, by the column `stored`."""
    format: Format = "video"
    """How the frames are stored."""
    judged_by: dict[str, str] = field(default_factory=dict)
    """By level, lowest first: the column that it is judged by, of whatever kind."""
    annotations: dict[str, Annotation] = field(default_factory=dict)
    """Annotations other than `labels`, by name: several classes at once, captions, boxes."""

    drawn: str = ""
    """How its videos were drawn from those of `train.csv`; empty where a CSV file lists them."""
    further: dict[str, Catalog] = field(default_factory=dict)
    """Training videos of other datasets that a run trains on beside these, by name; their rows count on from these."""

    @property
    def first_rows(self) -> dict[str, int]:
        """The number of the first row of each dataset in batches; "" stands for this one."""
        names = ["", *self.further]
        counts = [len(self.table), *(len(catalog.table) for catalog in self.further.values())]
        return dict(zip(names, np.cumsum([0, *counts[:-1]]).tolist(), strict=True))

    @property
    def stored(self) -> NDArray[np.object_]:
        """Where the format's reader finds each video, relative to `root`: its path where the CSV says nothing else."""
        return self.table["stored" if "stored" in self.table else "path"].to_numpy(object)

    def own_labels(self, levels: Sequence[str]) -> dict[str, str]:
        """The label set that each level is judged by.

        Args:
            levels: what there are features of, lowest first.

        Returns:
            By level the name of one of `labels`. A level that has none is left out; {} where nothing can be scored.
        """
        return {level: self.judged_by[level] for level in levels if self.judged_by.get(level) in self.labels}

    @property
    def classified(self) -> list[str]:
        """The columns of classes: one for a video, one for each part, or several at once."""
        return [*self.labels, *(name for name, known in self.annotations.items() if isinstance(known, MultiLabelSet))]

    def untrained(self, column: str, train: Catalog) -> Untrained:
        """The videos that show classes of `column` (see `classified`) that no video of `train` shows."""
        if column in self.labels:
            return self.labels[column].untrained(train.labels[column])
        here, there = self.annotations[column], train.annotations[column]
        assert isinstance(here, MultiLabelSet)
        assert isinstance(there, MultiLabelSet)
        return here.untrained(there)

    def sample(self, videos: int, seed: int) -> Catalog:
        """At most `videos` of them, drawn once for a seed, in the catalog's order; those with labels come first."""
        drawn = numpy_generator(seed, len(self.table)).permutation(len(self.table))
        for labels in self.labels.values():
            drawn = np.concatenate([drawn[labels.is_known[drawn]], drawn[~labels.is_known[drawn]]])
        drawn = drawn[:videos]
        keep = np.zeros(len(self.table), np.bool_)
        keep[drawn] = True
        return self.with_rows(keep)

    def with_rows(self, keep_N: NDArray[np.bool_]) -> Catalog:
        """The catalog with some of its rows."""
        return replace(
            self,
            table=self.table[keep_N].reset_index(drop=True),
            labels={name: replace(labels, values=labels.values[keep_N]) for name, labels in self.labels.items()},
            annotations={name: known.with_rows(keep_N) for name, known in self.annotations.items()},
        )

    def in_order(self, order_N: NDArray[np.int64]) -> Catalog:
        """The catalog with its rows in another order.

        Args:
            order_N: the number of the row that comes first, second, ...
        """
        return replace(
            self,
            table=self.table.iloc[order_N].reset_index(drop=True),
            labels={name: replace(labels, values=labels.values[order_N]) for name, labels in self.labels.items()},
            annotations={},
        )

    def failures(self, failed: Iterable[tuple[int, str]]) -> list[tuple[str, str, str]]:
        """(split, path, reason) of videos that a loader could not read, from (row, reason)."""
        return [(self.split, self.table["path"].iloc[row], reason) for row, reason in failed]
