"""Decoded pictures brought to the size that the model reads: the same cut, whatever decoded them.

Scaled size and cut are those of `decoding.fit`, so that a dataset shows the model the same part of every video in each
of its formats.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Loader processes share the cores already, and OpenCV's threads do not survive a fork.
cv2.setNumThreads(1)


def covering(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture of `height` x `width` scaled so that it just covers `size`."""
    scale = max(size[0] / height, size[1] / width)
    return max(size[0], round(height * scale)), max(size[1], round(width * scale))


def cover(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture, scaled to cover `size` (height, width) and cut to its centre.

    Shrinking averages over areas, so that fine texture does not alias; enlarging is bilinear.

    Args:
        picture: [H, W, 3], upright.
        size: height and width of the result.

    Returns:
        [H, W, 3]; a view of `picture` where nothing is to be scaled.
    """
    height, width = picture.shape[:2]
    return cut_centre(scaled(picture, covering(height, width, size)), size)


def scaled(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] at exactly `size` (height, width); the picture itself where it has that size."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    shrinks = size[0] <= height and size[1] <= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, size[::-1], interpolation=method)  # type: ignore[return-value]


def cut_centre(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A view of the central `size` (height, width) of a picture [H, W, 3] that covers it."""
    height, width = size
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
