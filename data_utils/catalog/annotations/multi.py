"""Several classes at once: `cook;talk` says that a video shows both, and none of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import sorted_classes
from data_utils.catalog.annotations.untrained import Untrained, tell_untrained
from data_utils.catalog.label_text import SEVERAL, normal_text


@dataclass(frozen=True)
class MultiLabelSet:
    """A column of one split whose cells hold any number of classes."""

    name: str
    """The column."""
    classes: list[str]
    """Names, the same for all splits."""
    shows_NC: NDArray[np.bool_]
    """[N, C] whether each video shows each class; all False as well where that is not known."""
    is_known: NDArray[np.bool_]
    """[N] whether the video is annotated: an empty cell is not, `;` alone says that it shows none of the classes."""
    kind: Literal["multi"] = "multi"

    def text(self, row: int) -> str:
        """The classes of a video, as the catalog writes them; empty where they are not known."""
        if not self.is_known[row]:
            return ""
        return SEVERAL.join(self.classes[number] for number in np.flatnonzero(self.shows_NC[row])) or SEVERAL

    def with_rows(self, keep_N: NDArray[np.bool_]) -> Self:
        """The classes of some of the videos."""
        return replace(self, shows_NC=self.shows_NC[keep_N], is_known=self.is_known[keep_N])

    def untrained(self, train: MultiLabelSet) -> Untrained:
        """The videos that show classes that none of `train` shows; none where `train` shows no class at all."""
        trained_C = train.shows_NC.any(axis=0)
        untrained_NC = self.shows_NC & ~trained_C & trained_C.any()
        names = [self.classes[number] for number in np.flatnonzero(untrained_NC.any(axis=0))]
        return Untrained(self.name, int(untrained_NC.any(axis=1).sum()), len(self.is_known), names)


def multi_label_sets(column: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, MultiLabelSet]:
    """Turns a column of all splits into booleans.

    Args:
        column: its name. Classes are separated by `;`; one that is named twice, and nothing between two `;`, count once
            and not at all.
        tables: catalog by split, as `read_csv` gives it.

    Returns:
        A MultiLabelSet by split; classes are the union over all splits, numbers in numerical order. {} where no video
        of any split is annotated.
    """
    cells = {split: pd.factorize(table[column]) for split, table in tables.items()}  # in order of appearance
    named: dict[str, list[set[str]]] = {}
    annotated: dict[str, list[bool]] = {}
    for split, (_, different) in cells.items():
        named[split] = [{normal_text(name) for name in cell.split(SEVERAL)} - {""} for cell in different]
        annotated[split] = [normal_text(cell) != "" for cell in different]
    if not any(any(known) for known in annotated.values()):
        return {}
    classes = sorted_classes({name for of_split in named.values() for names in of_split for name in names})
    number = {name: index for index, name in enumerate(classes)}
    sets = {}
    for split, (codes, different) in cells.items():
        shows = np.zeros((len(different), len(classes)), np.bool_)
        for row, names in enumerate(named[split]):
            shows[row, [number[name] for name in names]] = True
        known = np.array(annotated[split], np.bool_)
        sets[split] = MultiLabelSet(column, classes, shows[codes], known[codes])
    tell_untrained({split: labels.untrained(sets["train"]) for split, labels in sets.items()})
    return sets
