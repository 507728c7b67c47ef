"""What a probe is made of: classifiers for a grid of settings, and the inputs that they are trained and asked with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from protocols.encoded_split import IntArray
from protocols.probes.entries import Entry
from protocols.probes.material import Material
from protocols.probes.questions import Question
from protocols.probes.targets import Targets

Inputs = tuple[Tensor, ...]
"""What classifiers are given of B views."""


class Learner(Protocol):
    """The answers to a question: G classifiers, one for each of some entries of the grid."""

    targets: Targets
    entries: list[Entry]

    def logits(self, inputs: Inputs) -> Tensor:
        """[G, B, K, S]."""

    def only(self, number: int) -> Self:
        """The classifier of one entry."""


Lesson = tuple[Any, Question, NDArray[np.bool_]]
"""Classifiers (of the probe's kind), what they are asked, and which of the N training videos they learn from."""


class Probe(ABC):
    """How one kind of classifiers is trained on an encoder's features.

    Attributes:
        title: for messages.
        material: the splits.
        limit: bytes that training may take on the device.
    """

    def __init__(self, title: str, material: Material, limit: int) -> None:
        self.title, self.material, self.limit = title, material, limit

    @abstractmethod
    def done(self, group: Sequence[Question]) -> None:
        """Is told when a group's inputs are not needed any more."""

    @abstractmethod
    def groups(self, questions: Sequence[Question]) -> list[list[Question]]:
        """The questions that are trained in the same pass over their inputs, group by group."""

    @abstractmethod
    def entry_bytes(self, question: Question) -> int:
        """What training one entry takes on the device."""

    @abstractmethod
    def input_bytes(self, group: Sequence[Question], left: int) -> tuple[int, str]:
        """What the inputs of training take where `left` bytes are left for them, and what they are, in words."""

    @abstractmethod
    def untrained(self, question: Question, entries: Sequence[Entry], videos_N: NDArray[np.bool_]) -> Learner:
        """Classifiers before training on some of the N training videos."""

    @abstractmethod
    def train(self, lessons: Sequence[Lesson], left: int) -> None:
        """Trains the classifiers of a group; `left` bytes are left for inputs."""

    @abstractmethod
    def inputs(self, question: Question, split: str) -> Iterator[tuple[IntArray, Inputs]]:
        """Every view of a split: the numbers [B] of some of its views, and what classifiers are given of them."""
