"""The splits that a probe learns from, chooses by and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.encoded_split import EncodedSplit
from protocols.probes.choosing import Chooser, find_chooser
from protocols.protocol import Subject


@dataclass(frozen=True)
class Material:
    """The splits that a probe learns from, chooses by and scores."""

    splits: Mapping[str, EncodedSplit]
    """By name: `train`, the one that is scored and, where another one may choose, `val`."""
    asked: str
    """The name of the split that is scored."""
    device: torch.device
    seed: int

    def labels(self, split: str, name: str) -> LabelSet | MultiLabelSet:
        """A label set of either kind."""
        found = self.splits[split]
        return found.labels[name] if name in found.labels else found.multi[name]

    def chooser(self, name: str) -> Chooser | None:
        """The videos that choose among classifiers of a label set; None where there are too few."""
        train, known_N = self.splits["train"], self.labels("train", name).is_known
        if self.asked == "val":
            return find_chooser(known_N, train.groups, "the validation videos are scored themselves", self.seed)
        val = self.labels("val", name) if "val" in self.splits else "no validation video has a label"
        return find_chooser(known_N, train.groups, val, self.seed)


def material_of(subject: Subject, *, may_choose: bool) -> Material:
    """The splits of a subject; `may_choose`: whether there is anything to choose, so that validation videos are needed.

    Validation videos are encoded only where some of them have labels.
    """
    data = subject.data
    splits = {split: data.split(split) for split in ("train", subject.split)}
    catalog = data.catalogs["val"]
    names = {name for of_level in subject.labels.values() for name in of_level}
    known = [labels.is_known.any() for name, labels in catalog.labels.items() if name in names]
    known += [
        annotation.is_known.any()
        for name, annotation in catalog.annotations.items()
        if name in names and isinstance(annotation, MultiLabelSet)
    ]
    if may_choose and any(known):
        splits["val"] = data.split("val")
    return Material(splits, subject.split, data.device, subject.seed)
