"""What each dataset of a training teaches: the labels of its videos by level, and the classifiers that learn them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from config.datasets import OWN, label_space
from config.errors import InputError
from config.schema import Config
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet, part_shares
from data_utils.catalog.catalog import Catalog


class Lesson(nn.Module):
    """The labels of one dataset's training videos.

    Args:
        catalog: of the videos.
        label_sets: by level; the classes are those of `numbered`.
        numbered: by level the names of the classes, in the order of the classifier's scores.
        first_row: the number of the first video in batches.
        title: of the dataset, for messages.

    Raises:
        InputError: a class has no name in `numbered`.
    """

    def __init__(
        self,
        catalog: Catalog,
        label_sets: Mapping[str, LabelSet],
        numbered: Mapping[str, Sequence[str]],
        first_row: int,
        title: str,
    ) -> None:
        super().__init__()
        self.first_row = first_row
        self.partly_labelled = {level for level, label_set in label_sets.items() if not label_set.is_known.all()}
        lengths = catalog.table["frames"].to_numpy("int64", copy=True)
        self.lengths_N: Tensor
        self.register_buffer("lengths_N", torch.from_numpy(lengths), persistent=False)
        for level, label_set in label_sets.items():
            labels_NK = _renumbered(label_set, numbered[level], title)
            self.register_buffer(f"labels_of_{level}", labels_NK, persistent=False)

    def labels(self, level: str, rows_B: Tensor, frames_BT: Tensor, units: int) -> Tensor:
        """[B, U]: the class of each unit of windows: that of the video, or of the part that most of the unit shows.

        Args:
            level: whose units.
            rows_B: the videos' rows in batches.
            frames_BT: the frames' positions in their videos.
            units: U.
        """
        own_B = rows_B - self.first_row
        labels_BK = cast(Tensor, getattr(self, f"labels_of_{level}"))[own_B]
        shares_BKU = part_shares(frames_BT, self.lengths_N[own_B], units, labels_BK.shape[1])
        return labels_BK.gather(1, shares_BKU.argmax(dim=1))


def lessons_of(config: Config, train: Catalog, levels: Sequence[str]) -> tuple[dict[str, Lesson], dict[str, list[str]]]:
    """The lessons of all datasets that are trained on, and what their classifiers tell apart.

    Args:
        config: says which of them have the same classes.
        train: the run's own training videos, and the further ones.
        levels: that learn labels.

    Returns:
        By name of the dataset ("dataset" for the run's own) its lesson; and for each of those that have classifiers of
        their own, by `NAME.LEVEL`, the names of the classes.

    Raises:
        InputError: a level has no labels in a dataset, or a dataset has a class that the one does not have whose
            classifiers it shares.
    """
    catalogs = {OWN: train, **{name: train.further[name] for name in config.datasets}}
    first_rows = {name or OWN: row for name, row in train.first_rows.items()}
    sets = {name: _label_sets(catalog, levels, config, name) for name, catalog in catalogs.items()}
    spaces = {name: label_space(config, name) for name in catalogs}
    lessons = {}
    for name, catalog in catalogs.items():
        numbered = {level: label_set.classes for level, label_set in sets[spaces[name]].items()}
        lessons[name] = Lesson(catalog, sets[name], numbered, first_rows[name], f"datasets.{name}")
    classes = {
        f"{name}.{level}": label_set.classes
        for name in catalogs
        if spaces[name] == name
        for level, label_set in sets[name].items()
    }
    return lessons, classes


def _label_sets(train: Catalog, levels: Sequence[str], config: Config, name: str) -> dict[str, LabelSet]:
    """By level the labels that it learns. InputError: it has none."""
    own = train.own_labels(levels)
    where = "" if name == OWN else f"datasets.{name}: "
    for level in levels:
        if level not in own or not train.labels[own[level]].is_known.any():
            raise InputError(
                f"{where}task: {config.task} learns labels, and {level} has none in train.csv; set dataset.labels to "
                "columns of one class a video (or one per part), or task to hierarchical, vicreg or svt"
            )
    return {level: train.labels[name] for level, name in own.items()}


def _renumbered(label_set: LabelSet, classes: Sequence[str], title: str) -> Tensor:
    """The labels [N, K] with the numbers that their names have among `classes`."""
    if label_set.classes == list(classes):
        return torch.from_numpy(label_set.values.copy())
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = [name for name in label_set.classes if name not in numbers]
    if unknown:
        raise InputError(
            f"{title}: its class '{unknown[0]}' is none of those of the dataset that labels_as names; take labels_as "
            "out, so that it has classifiers of its own"
        )
    # The last entry is for UNKNOWN, which indexes it as -1.
    table = torch.tensor([*(numbers[name] for name in label_set.classes), UNKNOWN])
    return table[torch.from_numpy(label_set.values.copy())]
