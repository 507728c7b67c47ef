"""The contract of a protocol: from an encoder, data and settings to scores.

The files of protocols import what takes seconds (NumPy, torch) inside their functions: the config's schema reads their
settings, and a typo in a config must not wait for that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from config.section import Section

if TYPE_CHECKING:
    from torch import nn

    from config.schema import Config
    from protocols.encoded import EncodedData
    from protocols.predictions import Keep


class NoSettings(Section):
    """The settings of a protocol that has none."""


@dataclass(frozen=True)
class Subject:
    """The subject of a protocol: an encoder with data, and the labels to score it on."""

    data: EncodedData
    """The encoder with a dataset: features of its splits, and for protocols that need more, its catalogs."""
    split: str
    """The split that is scored: `val` or `test`; `train` is there to learn from."""
    labels: Mapping[str, Sequence[str]]
    """By level, lowest first, the label sets to score it on."""
    own: Mapping[str, str]
    """By level, the label set that it is judged by."""
    classifier: nn.Module | None = None
    """The classifier that the task has trained, from the last level's features [N, D] to class scores [N, classes]."""
    seed: int = 0
    """Every draw of a protocol is a function of it."""
    keep: Keep = lambda _: None
    """Is given what a classifier says of each video, for lists of predictions and confusion matrices."""


@dataclass(frozen=True)
class Score:
    """A number that a protocol measured; `eval.py` turns it into a `Result`."""

    level: str | None
    """None: the task as a whole."""
    labels: str | None
    metric: str
    value: float
    chance: float | None = None
    interval: float | None = None
    unit: str = "%"
    primary: bool = True
    """Whether it is the number that tables and curves show; others are in summary.json alone."""


SettingsT = TypeVar("SettingsT", bound=Section)


class Protocol(ABC, Generic[SettingsT]):
    """A way to score an encoder, which it leaves as it was, bit by bit.

    Args:
        settings: of this evaluation.
    """

    Settings: ClassVar[type[Section]] = NoSettings
    """The class of `settings`: what the config may say, under `evaluations.NAME.settings`."""
    title: ClassVar[str]
    """In a few letters, for the console and for axes."""
    heading: ClassVar[str]
    """Above its table in the report."""
    note: ClassVar[str]
    """How to read it, one sentence for the report."""
    needs_labels: ClassVar[bool] = True
    """Where it does, it is skipped on data without labels."""
    has_pixel_floor: ClassVar[bool] = False
    """Whether what it says of pixels in place of features is a floor of what it says of features."""
    scores_multi: ClassVar[bool] = False
    """Whether it can score label sets that say several classes at once."""

    uses_classifier: ClassVar[bool] = False
    """Whether it scores the task's own classifier, which knows the classes of the run's data alone."""
    has_random_floor: ClassVar[bool] = True
    """Whether what it says of the untrained encoder is a floor of what it says of the trained one."""
    last_level_alone: ClassVar[bool] = False
    """Whether an evaluation that names no levels and no labels is of the last level on its own labels: a dear one."""

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    def check(self, config: Config) -> None:
        """Refuses settings that cannot work together, or with the rest of `config`.

        Raises:
            ValueError: in the user's words; what it says stands behind the evaluation's name.
        """
        del config

    @abstractmethod
    def score(self, subject: Subject) -> list[Score]:
        """Scores one encoder on one split; [] where there is nothing to score (a task without a classifier)."""
