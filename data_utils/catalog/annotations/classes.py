"""One class for a video, or one for each of its equal parts: label columns of the catalog as class numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from config.errors import InputError
from data_utils.catalog.annotations.untrained import Untrained, tell_untrained
from data_utils.catalog.label_text import SEPARATOR, SEVERAL, normal_label

UNKNOWN = -1
"""In place of the class of a video without a label."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelSet:
    """One label column of one split."""

    name: str
    """The column."""
    classes: list[str]
    """Names, the same for all splits."""
    values: NDArray[np.int64]
    """[N, K] classes of the N videos; K > 1: one for each of K equal parts of a video, in time order.

    A row of UNKNOWN is a video without a label: it is trained on and not scored.
    """

    @property
    def kind(self) -> Literal["single", "parts"]:
        """Whether it says one class of a video, or one of each part."""
        return "single" if self.values.shape[1] == 1 else "parts"

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[N] whether each video has a label."""
        known: NDArray[np.bool_] = self.values[:, 0] != UNKNOWN
        return known

    def text(self, row: int) -> str:
        """The labels of a video, as the catalog writes them; empty where it has none."""
        if not self.is_known[row]:
            return ""
        return SEPARATOR.join(self.classes[value] for value in self.values[row])

    def with_rows(self, keep_N: NDArray[np.bool_]) -> Self:
        """The labels of some of the videos."""
        return replace(self, values=self.values[keep_N])

    def untrained(self, train: LabelSet) -> Untrained:
        """The videos with classes that none of `train` has, in any part; none where `train` has no labels at all."""
        known = np.unique(train.values[train.is_known])
        unknown_NK = ~np.isin(self.values, known) & (self.values != UNKNOWN) & (len(known) > 0)
        names = [self.classes[value] for value in np.unique(self.values[unknown_NK])]
        return Untrained(self.name, int(unknown_NK.any(axis=1).sum()), len(self.values), names)


def part_shares(frames_BT: Tensor, lengths_B: Tensor, units: int, parts: int) -> Tensor:
    """How much of every unit lies in each of the video's equal parts.

    Args:
        frames_BT: the frame numbers of each window.
        lengths_B: frames of the whole video.
        units: equal groups of the window's frames, or equal parts of each frame, in time order.
        parts: K.

    Returns:
        [B, K, U]: shares of a unit's frames; a unit of several parts counts for all of them.
    """
    part_BT = (frames_BT * parts) // lengths_B[:, None].clamp(min=1)
    one_hot_BTK = F.one_hot(part_BT.clamp(0, parts - 1), parts).float()
    if units > frames_BT.shape[1]:
        one_hot_BTK = one_hot_BTK.repeat_interleave(units // frames_BT.shape[1], dim=1)
    shares_BUK: Tensor = one_hot_BTK.unflatten(1, (units, -1)).mean(dim=2)
    return shares_BUK.transpose(1, 2)


def label_sets(
    column: str,
    tables: Mapping[str, pd.DataFrame],
    files: Mapping[str, Path],
    kind: Literal["single", "parts"] | None = None,
) -> dict[str, LabelSet]:
    """Turns a column of all splits into class numbers.

    Args:
        column: name of the column.
        tables: catalog by split, as `read_csv` gives it.
        files: each split's CSV, for messages.
        kind: what the cells hold; None: they say it.

    Returns:
        A LabelSet by split; classes are the sorted union over all splits, numbers in numerical order. {} where no video
        of any split has a label.

    Raises:
        InputError: a label is missing among several, videos have different numbers of labels, or cells hold another
            kind.
    """
    cells = {split: pd.factorize(table[column]) for split, table in tables.items()}  # in order of appearance
    parts: dict[str, list[list[str]]] = {}
    expected = 0
    for split, (codes, different) in cells.items():
        parts[split] = [normal_label(cell).split(SEPARATOR) for cell in different]
        for code, cell in enumerate(parts[split]):
            if not any(cell):  # a video without a label
                continue
            expected = expected or len(cell)
            if all(cell) and len(cell) == expected and kind is None:
                continue
            place = f"{files[split]}, line {tables[split].index[codes == code][0]}"
            _refuse_other_parts(cell, expected, column, place)
            _refuse_other_kind(cell, kind, column, place)
    if not expected:
        return {}
    classes = sorted_classes({part for split in parts.values() for cell in split for part in cell if part})
    _tell_several(classes, column)
    number = {name: index for index, name in enumerate(classes)}
    sets = {}
    for split, (codes, _) in cells.items():
        unlabelled = [UNKNOWN] * expected
        values = np.array(
            [[number[part] for part in cell] if any(cell) else unlabelled for cell in parts[split]], np.int64
        )
        sets[split] = LabelSet(column, classes, values.reshape(-1, expected)[codes])
        _tell_unlabelled(sets[split], split)
    tell_untrained({split: labels.untrained(sets["train"]) for split, labels in sets.items()})
    return sets


def sorted_classes(names: Collection[str]) -> list[str]:
    """The names in their order: numbers by size where all are numbers."""
    ordered = sorted(names, key=_sort_key)
    return ordered if all(_is_number(name) for name in ordered) else sorted(names)


def _refuse_other_parts(cell: list[str], expected: int, column: str, place: str) -> None:
    """InputError where a cell has not a label for each of as many parts as the others."""
    if not all(cell):
        raise InputError(f"{place}: no label in column '{column}'; fill it in")
    if len(cell) != expected:
        raise InputError(
            f"{place}: {len(cell)} labels in column '{column}', {expected} in those above; give every video as "
            f"many, separated by {SEPARATOR}"
        )


def _refuse_other_kind(cell: list[str], kind: str | None, column: str, place: str) -> None:
    """InputError where a cell holds more than the kind of its column says."""
    if kind == "single" and len(cell) > 1:
        raise InputError(f"{place}: '{SEPARATOR.join(cell)}' in column '{column}' names several parts; use kind: parts")
    if kind is not None and any(SEVERAL in part for part in cell):
        raise InputError(
            f"{place}: '{SEPARATOR.join(cell)}' in column '{column}' is not one class; use kind: multi where a video "
            f"shows several at once, or take the '{SEVERAL}' out"
        )


def _tell_several(classes: list[str], column: str) -> None:
    """Warns where names of classes look like several of them: the short form of `labels` takes each as one."""
    several = [name for name in classes if SEVERAL in name]
    if several:
        logger.warning(
            "column '%s': %d classes hold '%s', such as '%s', and count as classes of their own; where videos show "
            "several at once, set dataset.labels to {column: %s, kind: multi}",
            column,
            len(several),
            SEVERAL,
            several[0],
            column,
        )


def _tell_unlabelled(labels: LabelSet, split: str) -> None:
    """Says how many videos have no label."""
    unlabelled = int((~labels.is_known).sum())
    if unlabelled == len(labels.values):
        logger.warning("%s: no video has a label in column '%s', so none is scored by it", split, labels.name)
    elif unlabelled:
        logger.info(
            "%s: %d of %d videos have no label in column '%s': they are trained on and not scored",
            split,
            unlabelled,
            len(labels.values),
            labels.name,
        )


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _sort_key(name: str) -> tuple[float, str]:
    return (float(name) if _is_number(name) else 0.0, name)
