"""The handling of requested frames that all readers of stored frames share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data_utils.video_files.decoding import VideoError


def require_positions(indices: NDArray[np.int64]) -> None:
    """Raises ValueError where an index is negative."""
    if (indices < 0).any():
        raise ValueError(f"frame {indices.min()} was asked for")


def require_frames(indices: NDArray[np.int64], frames: int) -> None:
    """Raises VideoError where a video of so many frames ends before one of the indices."""
    if (indices >= frames).any():
        raise VideoError(f"ends after {frames} frames, frame {indices.max() + 1} was asked for")


def each_once(
    indices: NDArray[np.int64], size: tuple[int, int], picture: Callable[[int], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """The pictures [T, H, W, 3] of the indices [T]; `picture` is called once for each frame, however often asked."""
    pictures = np.empty((len(indices), *size, 3), np.uint8)
    places: dict[int, int] = {}
    for place, index in enumerate(indices.tolist()):
        known = places.setdefault(index, place)
        pictures[place] = picture(index) if known == place else pictures[known]
    return pictures
