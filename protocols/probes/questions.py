"""What a probe asks of each level, and who chooses among the classifiers that answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocols.probes.choosing import Chooser
from protocols.probes.entries import Entry
from protocols.probes.material import Material
from protocols.probes.targets import Targets


@dataclass(frozen=True)
class Question:
    """What a level is asked: a label set of the training videos."""

    level: str
    labels: str
    targets: Targets
    chooser: Chooser | None
    """None: too few videos to choose by; there is one entry."""
    entries: list[Entry]

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose."""
        return self.chooser is not None and len(self.entries) > 1

    @property
    def retrains(self) -> bool:
        """Whether the chosen entry is trained once more, on all labelled training videos."""
        return self.is_open and self.chooser is not None and self.chooser.split == "train"

    @property
    def first_videos_N(self) -> NDArray[np.bool_]:
        """The training videos that classifiers learn from until the choice is made."""
        return self.chooser.trains_N if self.is_open and self.chooser is not None else self.targets.known_N

    @property
    def outputs(self) -> int:
        """Numbers that a classifier gives for a video."""
        return self.targets.parts * self.targets.outputs


def questions_of(
    material: Material, labels: Mapping[str, Sequence[str]], entries: Sequence[Entry], middle: Entry
) -> list[Question]:
    """The questions that can be asked, in the order of levels and label sets.

    Args:
        material: the splits.
        labels: by level, the label sets.
        entries: of the grid.
        middle: the entry where nothing can choose.
    """
    names = dict.fromkeys(name for of_level in labels.values() for name in of_level)
    there = [  # told when the evaluations were planned
        name for name in names if all(material.labels(of, name).is_known.any() for of in ("train", material.asked))
    ]
    targets = {name: Targets(material.labels("train", name), material.device) for name in there}
    choosers = {name: material.chooser(name) if len(entries) > 1 else None for name in there}
    return [
        Question(level, name, targets[name], choosers[name], list(entries) if choosers[name] else [middle])
        for level, of_level in labels.items()
        for name in of_level
        if name in targets
    ]
