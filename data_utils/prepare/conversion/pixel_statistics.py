"""Mean and standard deviation of a dataset's pixels, the same whatever the order and the number of processes.

Sums of integers are exact, so parts can be added in any order. Every 8th frame of a video counts, of a frame at most
about 65,536 pixels, on a grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EVERY = 8
_PIXELS = 65_536
# A dataset of one colour has no spread, but inputs are divided by it.
_MIN_STD = 1 / 255

Triple = tuple[float, float, float]


class PixelSums:
    """Number, sum and sum of squares of pixels, per channel."""

    def __init__(self, values: Sequence[int] = (0,) * 7) -> None:
        """`values`: as `values` gives them."""
        self.values = list(values)
        """[number, 3 sums, 3 sums of squares]."""

    def add_frame(self, frame: NDArray[np.uint8]) -> None:
        """Counts a frame [H, W, 3]."""
        step = math.ceil(math.sqrt(max(1.0, frame.shape[0] * frame.shape[1] / _PIXELS)))
        pixels = frame[::step, ::step].reshape(-1, 3).astype(np.int64)
        self.add([len(pixels), *pixels.sum(0).tolist(), *np.square(pixels).sum(0).tolist()])

    def add(self, values: Sequence[int]) -> None:
        """Counts what another one has counted."""
        self.values = [mine + other for mine, other in zip(self.values, values, strict=True)]

    def mean_std(self) -> tuple[Triple, Triple]:
        """Mean and standard deviation of pixels in [0, 1], rounded to 6 digits.

        Raises:
            ValueError: nothing was counted.
        """
        number, sums, squares = self.values[0], self.values[1:4], self.values[4:]
        if not number:
            raise ValueError("no pixels")
        variances = [(number * square - total * total) / number**2 for total, square in zip(sums, squares, strict=True)]
        mean = [round(total / number / 255, 6) for total in sums]
        std = [round(max(math.sqrt(variance) / 255, _MIN_STD), 6) for variance in variances]
        return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
