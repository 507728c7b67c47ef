"""Which videos figures show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runs.process.seeds import numpy_generator


def drawn_videos(total: int, parts: int, seed: int, max_videos: int) -> NDArray[np.intp]:
    """Indices of the videos that a figure shows, of `total`, of each of which it shows `parts` points."""
    count = min(total, max(1, max_videos // parts))
    return np.sort(numpy_generator(seed, total).permutation(total)[:count])
