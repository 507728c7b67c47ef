"""Where a view has what a frame has: boxes follow the crop, scale, flip, turn and shift of each draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_utils.video_files.cover import covering
from data_utils.views.augment import Draw
from data_utils.views.crops import STILL, Box, Move, Size

WHOLE = Box(0.0, 0.0, 1.0, 1.0)


class Geometry(NamedTuple):
    """How the frames of one window, as they are read, become those of a view."""

    read: Size
    """Height and width of the frames that were read."""
    size: Size
    """Height and width of the view."""
    box: Box = WHOLE
    """The part of the frame that becomes the view."""
    flip: bool = False
    """Whether it is mirrored."""
    move: Move = STILL
    """How it is then turned and shifted."""


def geometry_of(draw: Draw, read: Size, size: Size) -> Geometry:
    """The part of a draw that moves pixels; `read`, `size`: of the frames before and after it."""
    return Geometry(read, size, draw.box or WHOLE, draw.flip, draw.move)


def boxes_in_view(
    box_M4: NDArray[np.float64], geometry: Geometry, video_size: Size
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The boxes of a video, where a view of it has them.

    A box that is turned is replaced by the upright one around it. What reflects at the border of a moved frame is
    not followed: it is a picture of the thing and not the thing.

    Args:
        box_M4: x1, y1, x2, y2, in [0, 1] of the video's upright frame.
        geometry: of the window, see `TrainingViews.geometry`.
        video_size: height and width of the video's frames, as the catalog has them.

    Returns:
        The boxes in [0, 1] of the view, [M, 4], cut to what it shows, and the share of each that it shows, [M]; 0 where
        a box lies outside, which then has no area.
    """
    box_M4 = _in_read_frame(np.asarray(box_M4, np.float64), geometry.read, video_size)
    corners_M42 = box_M4[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    moved_M42 = _in_view(corners_M42, geometry)
    whole_M4 = np.concatenate([moved_M42.min(axis=1), moved_M42.max(axis=1)], axis=1)
    cut_M4 = whole_M4.clip(0.0, 1.0)
    return cut_M4, _area(cut_M4) / np.maximum(_area(whole_M4), np.finfo(np.float64).tiny)


def _in_read_frame(box_M4: NDArray[np.float64], read: Size, video_size: Size) -> NDArray[np.float64]:
    """From shares of the video's frame to shares of what is read: scaled to cover it and cut to its centre."""
    height, width = covering(video_size[0], video_size[1], read)
    top, left = (height - read[0]) // 2, (width - read[1]) // 2
    pixels_M4 = box_M4 * np.array([width, height, width, height]) - np.array([left, top, left, top])
    shares: NDArray[np.float64] = pixels_M4 / np.array([read[1], read[0], read[1], read[0]])
    return shares


def _in_view(points_MP2: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """From shares of the frame that is read to shares of the view: what `crops.resample` does, the other way round."""
    height, width = geometry.size
    box, move = geometry.box, geometry.move
    # Pixels of the view from its centre: a turn keeps shapes in pixels alone.
    across = ((points_MP2[..., 0] - box.left) / box.width - 0.5) * width
    down = ((points_MP2[..., 1] - box.top) / box.height - 0.5) * height
    if geometry.flip:
        across = -across
    cosine, sine = np.cos(np.radians(move.degrees)), np.sin(np.radians(move.degrees))
    x = cosine * across - sine * down + move.right
    y = sine * across + cosine * down + move.down
    return np.stack([x / width + 0.5, y / height + 0.5], axis=-1)


def _area(box_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = (box_M4[:, 2] - box_M4[:, 0]) * (box_M4[:, 3] - box_M4[:, 1])
    return area
