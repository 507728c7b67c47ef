"""What the levels are judged by: label columns of the catalog as class numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from config.errors import InputError
from config.schema import CatalogDataset, MovingDigits

SEPARATOR = "|"
_MOVING_DIGITS = {"backbone": "digit", "space": "digit", "time": "motion", "clip": "program"}


@dataclass(frozen=True)
class LabelSet:
    """One label column of one split."""

    name: str
    """The column."""
    classes: list[str]
    """Names, the same for all splits."""
    values: NDArray[np.int64]
    """[N, K] classes of the N videos; K > 1: one for each of K equal parts of a video, in time order."""

    def text(self, row: int) -> str:
        """The labels of a video, as the catalog writes them."""
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


def label_sets(column: str, tables: Mapping[str, pd.DataFrame], files: Mapping[str, str]) -> dict[str, LabelSet]:
    """Turns a column of all splits into class numbers.

    Args:
        column: name of the column.
        tables: catalog by split, as `read_csv` gives it.
        files: name of each split's CSV, for messages.

    Returns:
        A LabelSet by split; classes are the sorted union over all splits, numbers in numerical order.

    Raises:
        InputError: a label is missing, or videos have different numbers of labels.
    """
    parts: dict[str, list[list[str]]] = {}
    expected = 0
    for split, table in tables.items():
        parts[split] = [[part.strip() for part in cell.split(SEPARATOR)] for cell in table[column]]
        for line, cell in zip(table.index, parts[split], strict=True):
            expected = expected or len(cell)
            if not all(cell):
                raise InputError(f"{files[split]}, line {line}: no label in column '{column}'; fill it in")
            if len(cell) != expected:
                raise InputError(
                    f"{files[split]}, line {line}: {len(cell)} labels in column '{column}', {expected} in those "
                    f"above; give every video as many, separated by {SEPARATOR}"
                )
    classes = sorted({part for cells in parts.values() for cell in cells for part in cell}, key=_sort_key)
    if not all(_is_number(name) for name in classes):
        classes.sort()
    number = {name: index for index, name in enumerate(classes)}
    return {
        split: LabelSet(column, classes, np.array([[number[part] for part in cell] for cell in cells], np.int64))
        for split, cells in parts.items()
    }


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _sort_key(name: str) -> tuple[float, str]:
    return (float(name) if _is_number(name) else 0.0, name)
