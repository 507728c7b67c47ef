"""From frames as they are read to frames as the model takes them: which rectangle, and its pixels.

A rectangle, its scale and a flip are one affine grid per window, the same for all of its frames. Bilinear sampling
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

EvalCrop = Literal["centre", "resize", "three"]
Size = tuple[int, int]
"""Height and width, pixels."""

_ATTEMPTS = 10


class Box(NamedTuple):
    """A rectangle inside the frame, in shares of the frame's width and height."""

    left: float
    top: float
    width: float
    height: float


def relative_aspect(source: Size, size: Size) -> float:
    """Width / height of `size` as a share of that of `source`: exactly 1 where they have the same shape."""
    return (size[1] * source[0]) / (size[0] * source[1])


def drawn_box(crop: Crop, aspect: float, generator: np.random.Generator) -> Box:
    """As torchvision's RandomResizedCrop: the first of ten draws that fits, else the centre at the nearest ratio.

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
    """What evaluation sees of a frame, as rectangles of whole pixels.

    Args:
        source: of the frame.
        size: what each rectangle becomes.
        eval_crop: `centre`: the largest rectangle of the shape of `size` in the middle; `resize`: everything; `three`:
            rectangles as large as the one in the middle, in the middle and at both ends of the frame's longer side.

    Returns:
        The one in the middle first. `three` has one where the shapes are the same, as all three would be.
    """
    height, width = source
    if eval_crop == "resize":
        return [Box(0.0, 0.0, 1.0, 1.0)]
    aspect = relative_aspect(source, size)
    high, wide = max(1, round(height / max(1.0, aspect))), max(1, round(width * min(1.0, aspect)))
    down, right = height - high, width - wide
    corners = [(down // 2, right // 2)]
    if eval_crop == "three":
        corners = list(dict.fromkeys([*corners, (0, 0), (down, right)]))
    return [Box(left / width, top / height, wide / width, high / height) for top, left in corners]


def resample(video_BTCHW: Tensor, boxes: Sequence[Box], flips: Sequence[bool], size: Size) -> Tensor:
    """The rectangle of each window, mirrored where wanted, at `size`: a pure function of the window, not of its batch.

    Args:
        video_BTCHW: float32 or float64 in [0, 1].
        boxes: one per window.
        flips: one per window.
        size: of the result.
    """
    source = video_BTCHW.shape[-2:]
    points = [(_points(box.height * source[0], size[0]), _points(box.width * source[1], size[1])) for box in boxes]
    if len(set(points)) == 1:
        return _sampled(video_BTCHW, boxes, flips, size, points[0])
    result = video_BTCHW.new_empty((*video_BTCHW.shape[:3], *size))
    for number in sorted(set(points)):
        chosen = [index for index, its in enumerate(points) if its == number]
        index_G = torch.tensor(chosen, device=video_BTCHW.device)
        some, flipped = [boxes[index] for index in chosen], [flips[index] for index in chosen]
        result.index_copy_(0, index_G, _sampled(video_BTCHW[index_G], some, flipped, size, number))
    return result


def _points(pixels: float, size: int) -> int:
    """Points that are averaged along an axis whose `pixels` of the source become `size`."""
    return max(1, int(pixels / size + 0.5))


def _sampled(video: Tensor, boxes: Sequence[Box], flips: Sequence[bool], size: Size, points: tuple[int, int]) -> Tensor:
    """One affine grid per window; its frames are the channels of what is sampled."""
    num_windows = len(video)
    left, top, wide, high = np.array(boxes).T[:, :, None]
    backwards = np.where(flips, -1, 1)[:, None]
    down, across = (length * number for length, number in zip(size, points, strict=True))
    x = like(video, 2 * left + wide - 1 + wide * backwards * _centres(across))
    y = like(video, 2 * top + high - 1 + high * _centres(down))
    shape = (num_windows, down, across)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], dim=-1)
    # Rounding may leave a pixel of 1 at 1 + 1e-7; the border repeats where the box touches the frame's edge.
    sampled = functional.grid_sample(video.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    if points != (1, 1):
        sampled = functional.avg_pool2d(sampled, points)
    return sampled.clamp_(0, 1).view(*video.shape[:3], *size)


def _centres(size: int) -> NDArray[np.float64]:
    """Where grid_sample has the centres of `size` pixels that fill [-1, 1]."""
    return (2 * np.arange(size) + 1) / size - 1


def like(video: Tensor, values: NDArray[np.float64]) -> Tensor:
    """`values` on the video's device, in its type."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(video.device, video.dtype)
