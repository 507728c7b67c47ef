"""A few videos of each class, to learn from."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from runs.process.seeds import numpy_generator

logger = logging.getLogger(__name__)

_STREAM = 13  # the last word of the key: keeps these draws apart from others with the same seed


def few_of_each(shows_NC: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.bool_]:
    """Which videos to learn from, so that every class has `count` of them, or all that there are.

    Videos are taken in an order that the seed gives, each of which shows a class that has too few yet. Where a video
    shows one class, this gives exactly `count` of each, and those of a smaller `count` are among those of a larger one.
    Videos that show no class (which only sets of several classes at once have) count as a class of their own.

    Args:
        shows_NC: [N, C] whether each video shows each class.
        count: videos of a class.
        seed: of the draw.

    Returns:
        [N] bool.
    """
    none_N1 = ~shows_NC.any(axis=1, keepdims=True)
    shows = np.concatenate([shows_NC, none_N1], axis=1)
    have = np.zeros(shows.shape[1], np.int64)
    taken_N = np.zeros(len(shows), np.bool_)
    for video in numpy_generator(seed, len(shows), _STREAM).permutation(len(shows)):
        if (have[shows[video]] < count).any():
            taken_N[video] = True
            have += shows[video]
    return taken_N


def tell_too_few(shows_NC: NDArray[np.bool_], classes: list[str], count: int, what: str) -> None:
    """Warns of classes that have fewer than `count` videos."""
    videos_C = shows_NC.sum(axis=0)
    lacking = [f"{classes[number]} ({videos_C[number]})" for number in np.flatnonzero(videos_C < count)]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        logger.warning("%s: few_shot=%d, but there are fewer of %s%s", what, count, ", ".join(lacking[:5]), more)
