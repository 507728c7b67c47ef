"""The looks at a window that the levels learn from: every level has one or two views, and those that coincide are one.

A level whose views are `[weak, weak]` meets two different draws; where the level above has `[weak, strong]`, its first
view is the first of those two, so that three looks serve both levels.
"""

from __future__ import annotations

from typing import NamedTuple

from config.augmentation import Augmentation
from config.schema import Config
from data_utils.views.views import View
from tasks.hierarchical_settings import HierarchicalSettings, Strength


class Look(NamedTuple):
    """One look at a window; two of the same strength are two draws."""

    strength: Strength
    window: int
    """0, or 1 for another window of the video."""
    number: int
    """Which of the looks of this strength and window, from 0."""


def looks_of_levels(config: Config) -> dict[str, tuple[Look, ...]]:
    """By level of `groups`, lowest first: its views as looks, in the order of the key `views`."""
    settings = config.section(HierarchicalSettings)
    looks: dict[str, tuple[Look, ...]] = {}
    for level in config.groups:
        own: list[Look] = []
        for place, strength in enumerate(settings.views[level]):
            # Only the second view may be of another window: the first is always the batch's own.
            window = int(place == 1 and settings.second_view == "window")
            # Counted within the level, so that the first weak look of one level is that of every other level too.
            number = sum((look.strength, look.window) == (strength, window) for look in own)
            # Nothing is drawn for a window as it is: a second look would be the same one.
            own.append(Look(strength, window, 0 if strength == "none" else number))
        looks[level] = tuple(own)
    return looks


def view_of(look: Look, config: Config) -> View:
    """How a look is made."""
    augmentations: dict[Strength, Augmentation | None] = {
        "none": None,
        "weak": config.weak_augmentation,
        "strong": config.augmentation,
    }
    return View(window=look.window, augmentation=augmentations[look.strength])
