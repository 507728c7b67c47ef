"""Static swap: what stands still in a window exchanged for what stands still in another one.

What is left to tell two windows apart is what moves. Its neighbours: a static frame added to all frames (Wang et al.,
2020, arXiv 2009.05769) and foreground and background of two videos merged (Ding et al., 2021, arXiv 2109.15130).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

SwapMode = Literal["add", "mask"]

# Where a pixel counts as moving: its distance from its median, of pixels in [0, 1], and how soft that border is.
_THRESHOLD = 0.08
_SOFTNESS = 0.02


def static_part(video_BTCHW: Tensor) -> Tensor:
    """The median over the frames, per pixel and channel: [B, C, H, W]; of an even number the lower of the middle two.

    By a sorting network, whose every step compares two whole frames: on one core some 200 times as fast as
    torch.median for 8 frames of bytes and 50 times for 16.

    Args:
        video_BTCHW: of one frame or more, of any type.
    """
    frames = list(video_BTCHW.unbind(1))
    for first, second, lower, upper in _median_network(len(frames)):
        one, other = frames[first], frames[second]
        if lower:
            frames[first] = torch.minimum(one, other)
        if upper:
            frames[second] = torch.maximum(one, other)
    return frames[(len(frames) - 1) // 2]


def swap_static(video_BTCHW: Tensor, static_BCHW: Tensor, other_BCHW: Tensor, mode: SwapMode) -> Tensor:
    """The windows with another static part, in [0, 1].

    Args:
        video_BTCHW: float in [0, 1].
        static_BCHW: the windows' own static parts.
        other_BCHW: those that they get.
        mode: `add`: the difference of the two is added to every frame. `mask`: pixels far from their static part stay,
            the others become the new one; the distance is that of the channel where it is largest, as a thing whose
            colour differs in one channel alone moves as much as one that differs in all.
    """
    if mode == "add":
        return (video_BTCHW + (other_BCHW - static_BCHW)[:, None]).clamp_(0, 1)
    away_BTCHW = (video_BTCHW - static_BCHW[:, None]).abs_()
    away_BTHW = away_BTCHW[:, :, 0]
    for channel in range(1, away_BTCHW.shape[2]):
        away_BTHW = torch.maximum(away_BTHW, away_BTCHW[:, :, channel])
    moving_BTHW = away_BTHW.sub(_THRESHOLD).div_(_SOFTNESS).sigmoid_()
    return torch.lerp(other_BCHW[:, None], video_BTCHW, moving_BTHW[:, :, None]).clamp_(0, 1)


@lru_cache
def _median_network(length: int) -> list[tuple[int, int, bool, bool]]:
    """The comparisons that bring the lower median of `length` values to its place, in their order.

    Each is (first, second, whether the lesser of the two is needed at `first`, whether the greater is at `second`):
    those of Batcher's sorting network (1968; Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M) on whose
    outcome the median depends.
    """
    needed, comparisons = {(length - 1) // 2}, []
    for first, second in reversed(_sorting_network(length)):
        if first in needed or second in needed:
            comparisons.append((first, second, first in needed, second in needed))
            needed |= {first, second}
    return comparisons[::-1]


def _sorting_network(length: int) -> list[tuple[int, int]]:
    """Pairs of places to be put into order one after the other."""
    largest = 1 << max(0, (length - 1).bit_length() - 1)
    pairs = []
    step = largest if length > 1 else 0
    while step:
        stride, remainder, distance = largest, 0, step
        while True:
            pairs += [(i, i + distance) for i in range(length - distance) if i & step == remainder]
            if stride == step:
                break
            stride, remainder, distance = stride // 2, step, stride - step
        step //= 2
    return pairs
