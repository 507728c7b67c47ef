"""A dataset without `val.csv`: its validation videos are drawn from those of training, the same ones in every run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.data import AnyListed, NpyDataset
from config.errors import InputError
from data_utils.catalog.annotations.level_columns import highest_column
from data_utils.catalog.dataset_card import DatasetCard
from data_utils.catalog.drawing import by_group, within_classes
from data_utils.catalog.label_text import normal_label, normal_text

GROUP = "group"
"""The column that says who or what must not appear in two splits."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnVal:
    """The rows of `train.csv` that validation gets."""

    chosen_N: NDArray[np.bool_]
    words: str
    """How they were drawn, for the log and the report."""


def draw_val(train: pd.DataFrame, dataset: AnyListed, card: DatasetCard | None, folder: Path) -> DrawnVal:
    """Draws the validation videos of a dataset that has no `val.csv`, and says so.

    The draw is a function of `train.csv`, of `val_share` and `val_seed` alone: neither the run's seed nor its levels or
    windows change it, so that no stage or continuation trains on what another one validates on.

    Args:
        train: the rows of `train.csv`, as `read_csv` gives them.
        dataset: the config's.
        card: of the dataset, where it has one.
        folder: of the CSV files.

    Raises:
        InputError: there are too few videos, or groups, to draw from.
    """
    if isinstance(dataset, NpyDataset):
        without, listed = f"{dataset.catalog} has no lists {dataset.lists}_train_val, and", "the training list"
    else:
        without, listed = f"{folder / 'val.csv'} is missing, and", "train.csv"
    if len(train) < 2:
        raise InputError(f"{without} {listed} has a single video, which cannot be in both: add val.csv or more videos")
    column = highest_column(dataset, card, train.columns)
    labels = [normal_label(cell) for cell in train[column]] if column else [""] * len(train)
    if GROUP in train:
        groups = _groups(train)
        if len(set(groups)) < 2:
            raise InputError(
                f"{without} all videos of {listed} are of one {GROUP} ('{groups[0]}'): add val.csv with others, or "
                f"take the column '{GROUP}' out"
            )
        chosen_N = by_group(groups, {"val": dataset.val_share}, dataset.val_seed, labels) == "val"
        how = f"{len({groups[row] for row in np.flatnonzero(chosen_N)})} of {len(set(groups))} groups"
    else:
        chosen_N, how = _within_classes(labels, column, dataset)
    words = f"{int(chosen_N.sum())} of {len(train)} videos of {listed}, {how}, drawn with val_seed {dataset.val_seed}"
    logger.warning("%s validation gets %s; they are not trained on", without, words)
    return DrawnVal(chosen_N, words)


def _within_classes(labels: Sequence[str], column: str | None, dataset: AnyListed) -> tuple[NDArray[np.bool_], str]:
    """Whether validation gets each row, and how they were drawn; `column` has the labels, where there are some."""
    shares, seed = {"val": dataset.val_share}, dataset.val_seed
    chosen_N = within_classes(labels, None, shares, seed) == "val"
    if column and chosen_N.any():
        return chosen_N, f"within the classes of '{column}'"
    why = f"every class of '{column}' has a single video" if column else "there are no labels"
    return within_classes([""] * len(labels), None, shares, seed) == "val", f"by chance, as {why}"


def _groups(train: pd.DataFrame) -> list[str]:
    """The group of each video; one whose cell is empty is a group of its own."""
    cells = [normal_text(cell) for cell in train[GROUP]]
    return [cell or f"\0{path}" for cell, path in zip(cells, train["path"], strict=True)]
