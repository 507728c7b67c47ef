"""How a number moves while a training goes on."""

from __future__ import annotations

import math


def half_cosine(first: float, last: float, progress: float) -> float:
    """From `first` to `last` while `progress` goes from 0 to 1 (DINO, Caron et al., 2021, arXiv 2104.14294)."""
    return last - (last - first) * (1 + math.cos(math.pi * progress)) / 2
