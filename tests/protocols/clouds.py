"""Small encoded splits whose answers are known: what the tests of protocols share."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_utils.catalog.annotations.classes import LabelSet
from protocols.encoded_split import EncodedSplit, FloatArray, IntArray
from protocols.protocol import Score

SPACE = {"space": ["motion"]}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clusters(labels: IntArray, dim: int = 8, noise: float = 1.0, seed: int = 0, centres: int = 0) -> FloatArray:
    """A cloud per class; `centres` chooses where the clouds are."""
    centre = rng(centres).normal(size=(int(labels.max()) + 1, dim))
    return (3 * centre[labels] + noise * rng(seed + 1).normal(size=(*labels.shape, dim))).astype(np.float32)


def encoded(features: FloatArray, labels: LabelSet) -> EncodedSplit:
    """A split of one level and one label set; `features` [N, K, D]."""
    by_parts = {1: {"space": features.mean(axis=1, keepdims=True)}, features.shape[1]: {"space": features}}
    return EncodedSplit.of_videos(by_parts, {labels.name: labels})


def label_set(values: Any, classes: int = 4) -> LabelSet:
    return LabelSet("motion", [str(number) for number in range(classes)], np.asarray(values, np.int64))


def values(scores: list[Score]) -> dict[str, dict[str, float]]:
    """By level and label set, what tables show."""
    found: dict[str, dict[str, float]] = {}
    for score in scores:
        if score.primary:
            found.setdefault(str(score.level), {})[str(score.labels)] = score.value
    return found
