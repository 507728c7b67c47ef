"""What the levels are judged by: label columns of the catalog as class numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from config.data import CatalogDataset, MovingDigits
from config.errors import InputError
from data_utils.label_text import SEPARATOR, normal_label

UNKNOWN = -1
"""In place of the class of a video without a label."""
# Classes that a warning names.
_NAMED = 5
_MOVING_DIGITS = {"backbone": "digit", "space": "digit", "time": "motion", "clip": "program"}

_LABEL_SOME = "fill in the labels of some videos of train, val and test, on which the levels are scored"

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
    def is_known(self) -> NDArray[np.bool_]:
        """[N] whether each video has a label."""
        known: NDArray[np.bool_] = self.values[:, 0] != UNKNOWN
        return known

    def text(self, row: int) -> str:
        """The labels of a video, as the catalog writes them; empty where it has none."""
        if not self.is_known[row]:
            return ""
        return SEPARATOR.join(self.classes[value] for value in self.values[row])


def own_labels(dataset: MovingDigits | CatalogDataset, levels: Sequence[str]) -> dict[str, str]:
    """The label column that each level is judged by.

    Args:
        dataset: the config's dataset.
        levels: what there are features of, lowest first. `backbone` is judged by the column of `space` where it has
            none of its own.

    Raises:
        InputError: `dataset.labels` leaves a level out.
    """
    if isinstance(dataset, MovingDigits):
        own = dict(_MOVING_DIGITS)
        if levels[-1] == "time":  # No level joins clips: the clip is the whole video, and shows what that shows.
            own["time"] = own["clip"]
        return {level: own[level] for level in levels}
    if dataset.labels is None:
        return dict.fromkeys(levels, "label")
    columns = {str(level): column for level, column in dataset.labels.items()}
    if "space" in columns:
        columns.setdefault("backbone", columns["space"])
    missing = [level for level in levels if level not in columns]
    if missing:
        raise InputError(
            f"dataset.labels names no column for {' and '.join(missing)}; give one for every level of groups, "
            "or null to judge all by `label`"
        )
    return {level: columns[level] for level in levels}


def columns_of(own: Mapping[str, str]) -> list[str]:
    """The label columns, each once, that of the last level first."""
    return list(dict.fromkeys(reversed(list(own.values()))))


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


def label_sets(column: str, tables: Mapping[str, pd.DataFrame], files: Mapping[str, Path]) -> dict[str, LabelSet]:
    """Turns a column of all splits into class numbers.

    Args:
        column: name of the column.
        tables: catalog by split, as `read_csv` gives it.
        files: each split's CSV, for messages.

    Returns:
        A LabelSet by split; classes are the sorted union over all splits, numbers in numerical order.

    Raises:
        InputError: a label is missing among several, videos have different numbers of labels, or no video of a split
            has any.
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
            if all(cell) and len(cell) == expected:
                continue
            place = f"{files[split]}, line {tables[split].index[codes == code][0]}"
            if not all(cell):
                raise InputError(f"{place}: no label in column '{column}'; fill it in")
            raise InputError(
                f"{place}: {len(cell)} labels in column '{column}', {expected} in those above; give every video as "
                f"many, separated by {SEPARATOR}"
            )
    if not expected:
        raise InputError(f"{files['train']}: no video of any split has a label in column '{column}'; {_LABEL_SOME}")
    classes = sorted({part for split in parts.values() for cell in split for part in cell if part}, key=_sort_key)
    if not all(_is_number(name) for name in classes):
        classes.sort()
    number = {name: index for index, name in enumerate(classes)}
    sets = {}
    for split, (codes, _) in cells.items():
        unlabelled = [UNKNOWN] * expected
        values = np.array(
            [[number[part] for part in cell] if any(cell) else unlabelled for cell in parts[split]], np.int64
        )
        sets[split] = LabelSet(column, classes, values.reshape(-1, expected)[codes])
        _tell_unlabelled(sets[split], split, files[split])
    _tell_unknown(sets, column)
    return sets


def _tell_unlabelled(labels: LabelSet, split: str, file: Path) -> None:
    """Says how many videos have no label. InputError: none has one, so that nothing could be scored."""
    unlabelled = int((~labels.is_known).sum())
    if unlabelled == len(labels.values):
        raise InputError(f"{file}: no video has a label in column '{labels.name}'; {_LABEL_SOME}")
    if unlabelled:
        logger.info(
            "%s: %d of %d videos have no label in column '%s': they are trained on and not scored",
            split,
            unlabelled,
            len(labels.values),
            labels.name,
        )


def _tell_unknown(sets: Mapping[str, LabelSet], column: str) -> None:
    """Warns of classes that no training video shows, as nothing can be right about them."""
    known = np.unique(sets["train"].values[sets["train"].is_known])
    for split, labels in sets.items():
        unknown = ~np.isin(labels.values, known) & (labels.values != UNKNOWN)
        names = [labels.classes[value] for value in np.unique(labels.values[unknown])]
        if names:
            logger.warning(
                "%s: %d of %d videos have labels in column '%s' that no training video has: %s%s",
                split,
                unknown.any(axis=1).sum(),
                len(unknown),
                column,
                ", ".join(names[:_NAMED]),
                f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "",
            )


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _sort_key(name: str) -> tuple[float, str]:
    return (float(name) if _is_number(name) else 0.0, name)
