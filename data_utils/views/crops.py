"""From frames as they are read to frames as the model takes them: which rectangle, and its pixels.

A rectangle, its scale, a flip, a turn and a shift are one affine grid per window, the same for all of its frames, so
that pixels are sampled once. Bilinear sampling
alone sees two pixels of the source along an axis however much it shrinks; the others turn into false patterns that
flicker when things move. So n points per axis and pixel of the result are sampled and averaged, n being the nearest
whole number to source pixels per pixel. Shrinking real frames to a half, a third and a quarter, that comes within 45,
46 and 42 dB of torchvision's antialiased resizing, and single points within 45, 38 and 35 dB; below 1.5 source pixels
per pixel, where n is 1, they are within 49 dB and cost a quarter of two by two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from config.augmentation import Crop

EvalCrop = Literal["centre", "unscaled", "resize", "three"]
Size = tuple[int, int]
"""Height and width, pixels."""

_ATTEMPTS = 10


class Box(NamedTuple):
    """A rectangle inside the frame, in shares of the frame's width and height."""

    left: float
    top: float
    width: float
    height: float


class Move(NamedTuple):
    """How a picture that fills the result is moved on it: first turned about its centre, then shifted."""

    right: float = 0.0
    """Pixels of the result; below 0: to the left."""
    down: float = 0.0
    """Pixels of the result; below 0: up."""
    degrees: float = 0.0
    """Clockwise as one sees it, also where the picture was mirrored before."""


STILL = Move()


def relative_aspect(source: Size, size: Size) -> float:
    """Width / height of `size` as a share of that of `source`: exactly 1 where they have the same shape."""
    return (size[1] * source[0]) / (size[0] * source[1])


def drawn_box(crop: Crop, aspect: float, generator: np.random.Generator) -> Box:
    """A box as torchvision's RandomResizedCrop draws it: the first of ten that fits, else the centre, nearest in ratio.

    Args:
        crop: the ranges; a ratio of 1 keeps the shape of things.
        aspect: the `relative_aspect` of what the rectangle becomes.
        generator: which is asked for as many numbers whatever comes.
    """
    areas = generator.uniform(crop.scale[0], crop.scale[1], _ATTEMPTS)
    least, largest = np.log(crop.ratio)
    ratios = np.exp(generator.uniform(least, largest, _ATTEMPTS)) * aspect
    right, down = generator.random(2)
    widths, heights = np.sqrt(areas * ratios), np.sqrt(areas / ratios)
    fitting = np.flatnonzero((widths <= 1) & (heights <= 1))
    if len(fitting):
        width, height = float(widths[fitting[0]]), float(heights[fitting[0]])
    else:
        ratio = min(max(1.0, crop.ratio[0] * aspect), crop.ratio[1] * aspect)
        width, height, right, down = min(1.0, ratio), min(1.0, 1 / ratio), 0.5, 0.5
    return Box(float(right) * (1 - width), float(down) * (1 - height), width, height)


def fixed_boxes(source: Size, size: Size, eval_crop: EvalCrop) -> list[Box]:
    """The parts of a frame that evaluation uses, as rectangles of whole pixels.

    Args:
        source: of the frame.
        size: what each rectangle becomes.
        eval_crop: `centre`: the largest rectangle of the shape of `size` in the middle; `unscaled`: `size` in the
            middle, which fits into the frame; `resize`: everything; `three`: rectangles as large as that of `centre`,
            in the middle and at both ends of the frame's longer side.

    Returns:
        The one in the middle first. `three` has one where the shapes are the same, as all three would be.
    """
    height, width = source
    if eval_crop == "resize":
        return [Box(0.0, 0.0, 1.0, 1.0)]
    aspect = relative_aspect(source, size)
    high, wide = max(1, round(height / max(1.0, aspect))), max(1, round(width * min(1.0, aspect)))
    if eval_crop == "unscaled":
        high, wide = size
    down, right = height - high, width - wide
    corners = [(down // 2, right // 2)]
    if eval_crop == "three":
        corners = list(dict.fromkeys([*corners, (0, 0), (down, right)]))
    return [Box(left / width, top / height, wide / width, high / height) for top, left in corners]


def resample(
    video_BTCHW: Tensor,
    boxes: Sequence[Box],
    flips: Sequence[bool],
    size: Size,
    moves: Sequence[Move] | None = None,
) -> Tensor:
    """The rectangle of each window, mirrored and then moved where wanted, at `size`: whatever batch it is in.

    A move may show what lies outside the rectangle and, as if its border were a mirror, outside the frame.

    Args:
        video_BTCHW: float32 or float64 in [0, 1].
        boxes: one per window.
        flips: one per window.
        size: of the result.
        moves: one per window; None: no window moves.
    """
    height, width = video_BTCHW.shape[-2:]
    places = list(zip(boxes, flips, moves or [STILL] * len(boxes), strict=True))
    kinds = [
        (_points(box.height * height, size[0]), _points(box.width * width, size[1]), move != STILL)
        for box, _, move in places
    ]
    if len(set(kinds)) == 1:
        return _sampled(video_BTCHW, places, size, kinds[0])
    result = video_BTCHW.new_empty((*video_BTCHW.shape[:3], *size))
    for kind in sorted(set(kinds)):
        chosen = [index for index, its in enumerate(kinds) if its == kind]
        index_G = torch.tensor(chosen, device=video_BTCHW.device)
        result.index_copy_(0, index_G, _sampled(video_BTCHW[index_G], [places[i] for i in chosen], size, kind))
    return result


def _points(pixels: float, size: int) -> int:
    """Points that are averaged along an axis whose `pixels` of the source become `size`."""
    return max(1, int(pixels / size + 0.5))


def _sampled(
    video: Tensor, places: Sequence[tuple[Box, bool, Move]], size: Size, kind: tuple[int, int, bool]
) -> Tensor:
    """One affine grid per window; its frames are the channels of what is sampled.

    The kind says how many points per pixel are averaged down and across, and whether the windows move.
    """
    points, moved = kind[:2], kind[2]
    left, top, wide, high = np.array([box for box, _, _ in places]).T[:, :, None]
    backwards = np.array([-1 if flip else 1 for _, flip, _ in places])[:, None]
    right, lower, degrees = np.array([move for _, _, move in places]).T[:, :, None]
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # From a point of the result back to the source: the shift, then the turn, then the flip are undone.
    down, across = (length * number for length, number in zip(size, points, strict=True))
    u, v = _centres(across) - 2 * right / size[1], _centres(down) - 2 * lower / size[0]
    aspect = size[1] / size[0]  # a turn keeps shapes in pixels, and [-1, 1] is as long across as down
    x_of_u, x_of_v = 2 * left + wide - 1 + wide * backwards * cosine * u, wide * backwards * sine * v / aspect
    y_of_v, y_of_u = 2 * top + high - 1 + high * cosine * v, -high * sine * u * aspect
    x = like(video, x_of_u)[:, None] + like(video, x_of_v)[:, :, None]
    y = like(video, y_of_v)[:, :, None] + like(video, y_of_u)[:, None]
    # Rounding may leave a pixel of 1 at 1 + 1e-7; the border repeats where the box touches the frame's edge.
    padding = "reflection" if moved else "border"
    grid = torch.stack([x, y], dim=-1)
    sampled = functional.grid_sample(video.flatten(1, 2), grid, padding_mode=padding, align_corners=False)
    if points != (1, 1):
        sampled = functional.avg_pool2d(sampled, points)
    return sampled.clamp_(0, 1).view(*video.shape[:3], *size)


def _centres(size: int) -> NDArray[np.float64]:
    """Where grid_sample has the centres of `size` pixels that fill [-1, 1]."""
    return (2 * np.arange(size) + 1) / size - 1


def like(video: Tensor, values: NDArray[np.float64]) -> Tensor:
    """`values` on the video's device, in its type."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(video.device, video.dtype)
