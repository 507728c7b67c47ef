"""Captions of the embedded videos: what each shows, in words that are a function of the video.

They stand in a file of their own, `caption.csv` beside the catalogs, which stay as they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import numpy as np

from config.data import Difficulty
from data_utils.prepare import moving_digits_easy, moving_digits_hard

CAPTIONS_FILE = "caption.csv"
_SIZES = ("small", "medium", "large")


def caption(digit: int, program: tuple[str, str], difficulty: Difficulty, rng: np.random.Generator) -> str:
    """The caption of a video.

    Args:
        digit: that has the labels.
        program: the motion of each half.
        difficulty: of the video.
        rng: about to draw the video, and left further on.
    """
    low, high = moving_digits_easy.SIDE if difficulty == "easy" else moving_digits_hard.SIDE
    side = rng.uniform(low, high)  # what a video draws first
    size = _SIZES[min(len(_SIZES) - 1, int(len(_SIZES) * (side - low) / (high - low)))]
    return f"a {size} {digit} moves {program[0]}, then {program[1]}"


def captions_csv(rows: Iterable[tuple[str, str]]) -> bytes:
    """A file of annotations, of (path, caption)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "caption"))
    writer.writerows(rows)
    return text.getvalue().encode()
