"""Which colour and marker a video gets for what is known of it: for any number of classes, and several at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog
from protocols.encoded_split import EncodedSplit, Groups, groups_of
from runs.reporting.drawing import COLOURS, MARKERS

MAX_NAMED = 24  # entries of a legend; more would push the panels off the page
MAX_AT_ONCE = 3  # classes of a point that are drawn, one inside the other
NONE = -2
"""In place of the class of a video that is known to show none."""
OTHER = -3
"""In place of a class that has no colour of its own."""
NOTHING = -4
"""Where a video shows no further class."""
GREYS = {UNKNOWN: "#cccccc", NONE: "#777777", OTHER: "#aaaaaa"}
GROUP = "group"

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Colouring:
    """What points are coloured by: a label set, or the groups of the videos."""

    name: str
    classes: list[str]
    values: IntArray
    """[N, K, S]: up to S classes of each of K parts of N videos, the commonest class first, then NOTHING; in the first
    place, UNKNOWN or NONE where there is no class."""

    @classmethod
    def of(cls, labels: LabelSet | MultiLabelSet) -> Colouring:
        """By a label set."""
        if isinstance(labels, LabelSet):
            return cls(labels.name, labels.classes, labels.values[:, :, None])
        common_C = np.argsort(-labels.shows_NC.sum(axis=0), kind="stable")
        values = np.full((len(labels.shows_NC), 1, MAX_AT_ONCE), NOTHING, np.int64)
        for video, shows_C in enumerate(labels.shows_NC):
            shown = common_C[shows_C[common_C]][:MAX_AT_ONCE]
            values[video, 0, : len(shown)] = shown
        values[~labels.shows_NC.any(axis=1), 0, 0] = NONE
        values[~labels.is_known, 0] = NOTHING
        values[~labels.is_known, 0, 0] = UNKNOWN
        return cls(labels.name, labels.classes, values)

    @classmethod
    def of_groups(cls, groups_N: Groups) -> Colouring | None:
        """By the group of each video; None where the catalog has none."""
        if groups_N is None:
            return None
        names = [str(name) for name in groups_N]
        classes = sorted({name for name in names if name.startswith("group ")})
        number = {name: value for value, name in enumerate(classes)}
        values = np.array([number.get(name, UNKNOWN) for name in names], np.int64)[:, None, None]
        return cls(GROUP, [name.removeprefix("group ") for name in classes], values) if classes else None

    @property
    def parts(self) -> int:
        """K."""
        return int(self.values.shape[1])

    @property
    def several(self) -> bool:
        """Whether a point can have several classes at once."""
        return int(self.values.shape[2]) > 1

    @cached_property
    def named(self) -> list[int]:
        """The classes that have a colour of their own: all, or the commonest, in the order of the legend."""
        if len(self.classes) <= MAX_NAMED:
            return list(range(len(self.classes)))
        counts = np.bincount(self.values[self.values >= 0], minlength=len(self.classes))
        return [int(value) for value in np.argsort(-counts, kind="stable")[: MAX_NAMED - 1]]

    @cached_property
    def _places(self) -> dict[int, int]:
        return {value: place for place, value in enumerate(self.named)}

    @cached_property
    def greys(self) -> dict[int, str]:
        """What stands in the legend below the classes, by OTHER, NONE or UNKNOWN: those that there are."""
        others = len(self.classes) - len(self.named)
        words = {OTHER: f"{others} other classes", NONE: "none of them", UNKNOWN: "not known"}
        there = {NONE, UNKNOWN} & set(np.unique(self.values[..., 0]).tolist())
        return {value: text for value, text in words.items() if (value == OTHER and others) or value in there}

    def look(self, value: int) -> dict[str, Any]:
        """Colour and marker of a class, of OTHER, NONE or UNKNOWN."""
        if value in GREYS:
            return {"color": GREYS[value], "marker": "x" if value == NONE else "."}
        place = self._places.get(value)
        if place is None:
            return self.look(OTHER)
        # Twelve colours, and for the next twelve classes the same ones with another marker.
        marker = MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]
        return {"color": COLOURS[place % len(COLOURS)], "marker": marker}


def colourings(of: EncodedSplit | Catalog) -> dict[str, Colouring]:
    """The label sets of every kind that points can be coloured by; those of which no video has a label are left out."""
    multi = of.multi if isinstance(of, EncodedSplit) else of.annotations
    several = {name: labels for name, labels in multi.items() if isinstance(labels, MultiLabelSet)}
    labels: dict[str, LabelSet | MultiLabelSet] = {**of.labels, **several}
    return {name: Colouring.of(each) for name, each in labels.items() if each.is_known.any()}


def groups_colouring(of: EncodedSplit | Catalog) -> Colouring | None:
    """The groups of the videos, as something that points can be coloured by; None where the catalog has none."""
    return Colouring.of_groups(of.groups if isinstance(of, EncodedSplit) else groups_of(of))
