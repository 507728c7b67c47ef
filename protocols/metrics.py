"""Accuracies of levels on label sets, and what tells whether they mean anything: chance, and an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_utils.catalog.annotations.classes import LabelSet
from protocols.encoded import EncodedSplit, FloatArray, IntArray
from protocols.protocol import Score

Accuracy = Callable[[FloatArray, IntArray, FloatArray, IntArray], float]
"""In [0, 1], on (query features, query labels), given (known features, known labels)."""


def accuracies(
    bank: EncodedSplit, queries: EncodedSplit, labels: Mapping[str, Sequence[str]], accuracy: Accuracy
) -> list[Score]:
    """The accuracy of levels on label sets, in percent; one with K parts is scored part by part, the mean counts.

    Args:
        bank: the videos whose labels are known.
        queries: the videos that are scored.
        labels: by level, the label sets.
        accuracy: of one part.

    Returns:
        A score for every level and label set of which both have labelled videos.
    """
    scores = []
    for level, names in labels.items():
        for name in names:
            bank_labels, query_labels = bank.labels[name], queries.labels[name]
            mine, theirs = bank_labels.is_known, query_labels.is_known  # videos without a label are not scored
            if not (mine.any() and theirs.any()):  # told when the evaluations were planned
                continue
            parts = bank_labels.values.shape[1]
            known, asked = bank.features[parts][level], queries.features[parts][level]
            answers, truth = bank_labels.values[mine], query_labels.values[theirs]
            by_part = [accuracy(known[mine, i], answers[:, i], asked[theirs, i], truth[:, i]) for i in range(parts)]
            scores.append(accuracy_score(level, query_labels, float(np.mean(by_part))))
    return scores


def accuracy_score(level: str | None, labels: LabelSet, accuracy: float) -> Score:
    """An accuracy in [0, 1] on the labelled videos of a label set, in percent with chance and interval."""
    percent = 100 * accuracy
    interval = confidence_interval(percent, int(labels.is_known.sum()))
    return Score(level, labels.name, "top1", percent, chance=chance(labels), interval=interval)


def chance(labels: LabelSet) -> float:
    """Accuracy in percent of always naming each part's commonest class."""
    counts = [np.bincount(values).max() / len(values) for values in labels.values[labels.is_known].T if len(values)]
    return 100 * float(np.mean(counts)) if counts else 0.0


def confidence_interval(accuracy: float, samples: int) -> float:
    """Half the width of the 95 % interval of an accuracy (Wilson, 1927), both in percent."""
    if samples == 0:
        return 100.0
    p, z = accuracy / 100, 1.96
    return 100 * z / (1 + z**2 / samples) * math.sqrt(p * (1 - p) / samples + z**2 / (4 * samples**2))
