"""Classes that no training video shows: nothing can learn them, so what is said of their videos counts as wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

_NAMED = 5  # classes that a line names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Untrained:
    """The videos of a split that show such classes."""

    column: str
    videos: int
    of: int
    """Videos of the split."""
    classes: list[str]

    def __str__(self) -> str:
        more = f" and {len(self.classes) - _NAMED} more" if len(self.classes) > _NAMED else ""
        return (
            f"{self.videos} of {self.of} videos have labels in column '{self.column}' that no training video has: "
            f"{', '.join(self.classes[:_NAMED])}{more}; they count as wrong"
        )


def tell_untrained(found: Mapping[str, Untrained]) -> None:
    """Warns of the videos of every split that show such classes."""
    for split, untrained in found.items():
        if untrained.videos:
            logger.warning("%s: %s", split, untrained)
