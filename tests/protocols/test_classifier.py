from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from config.errors import InputError
from data_utils.catalog.annotations.classes import LabelSet
from protocols.classifier import Classifier
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from protocols.metrics import confidence_interval
from protocols.protocol import NoSettings, Subject
from tests.protocols.clouds import encoded, label_set, rng


class Data:
    """A split that is encoded already."""

    def __init__(self, split: EncodedSplit) -> None:
        self.encoded, self.name, self.device = split, "digits", torch.device("cpu")

    def split(self, split: str, videos: int | None = None) -> EncodedSplit:
        return self.encoded


def subject(features: Any, labels: LabelSet, classifier: nn.Module | None) -> Subject:
    data = cast(EncodedData, Data(encoded(features, labels)))
    return Subject(data, "test", {"space": ["motion"]}, {"space": "motion"}, classifier)


def linear(matrix: torch.Tensor) -> nn.Linear:
    classifier = nn.Linear(4, len(matrix), bias=False)
    with torch.no_grad():
        classifier.weight.copy_(matrix)
    return classifier


def test_it_is_scored_on_the_last_level() -> None:
    values = rng().integers(4, size=(50, 1))
    features, labels = np.eye(4, dtype=np.float32)[values], label_set(values)
    protocol = Classifier(NoSettings())
    wrong, *_ = protocol.score(subject(features, labels, linear(torch.eye(4).roll(1, dims=0))))  # says class + 1
    right, *others = protocol.score(subject(features, labels, linear(torch.eye(4))))
    assert right.primary
    assert not any(score.primary for score in others)
    assert (wrong.value, right.value) == (0.0, 100.0)
    assert (right.level, right.labels, right.metric, right.unit) == (None, "motion", "top1", "%")
    assert right.interval == confidence_interval(100.0, 50)


def test_a_task_without_one_has_no_score() -> None:
    values = rng().integers(4, size=(5, 1))
    assert Classifier(NoSettings()).score(subject(np.eye(4, dtype=np.float32)[values], label_set(values), None)) == []


def test_other_classes_than_those_that_were_learned_are_refused() -> None:
    values = rng().integers(4, size=(5, 1))
    three = subject(np.eye(4, dtype=np.float32)[values], label_set(values), linear(torch.eye(4)[:3]))
    with pytest.raises(InputError, match="has learned 3 classes and 'motion' of digits has 4"):
        Classifier(NoSettings()).score(three)
