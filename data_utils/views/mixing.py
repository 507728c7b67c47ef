"""Mixup and cutmix: windows of two videos in one, and how much of the label each of them is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parallel.batch_share import next_windows


@dataclass(frozen=True)
class Mix:
    """How every window of a batch is mixed with the next one, the last with the first."""

    own: float
    """Share of its own label that a window keeps."""
    box: tuple[int, int, int, int] | None = None
    """Cutmix: top, bottom, left and right of the pixels that come from the other window; None: mixup."""

    def pixels(self, video_BTCHW: Tensor) -> Tensor:
        """The mixed windows; those that came in stay as they are."""
        others_BTCHW = next_windows(video_BTCHW)
        if self.box is None:
            return torch.lerp(others_BTCHW, video_BTCHW, self.own)
        top, bottom, left, right = self.box
        mixed_BTCHW = video_BTCHW.clone()
        mixed_BTCHW[..., top:bottom, left:right] = others_BTCHW[..., top:bottom, left:right]
        return mixed_BTCHW


def draw_mix(mixup: float, cutmix: float, shape: tuple[int, int, int], generator: torch.Generator) -> Mix | None:
    """How a batch is mixed: one of the two that are asked for, each as likely as the other.

    Mixup (Zhang et al., 2018, arXiv 1710.09412) adds windows in a proportion from Beta(alpha, alpha); cutmix (Yun et
    al., 2019, arXiv 1905.04899) puts a rectangle of another window, the same in all frames, into each, whose share of
    the area is drawn likewise, and whose shape is the frame's. What of it lies outside of the frame is cut off, and the
    label follows the pixels.

    Args:
        mixup: alpha of mixup; 0: none.
        cutmix: alpha of cutmix; 0: none.
        shape: windows of the batch, height and width of their frames.
        generator: on the CPU.

    Returns:
        None where nothing is mixed: it is not asked for, or the batch is a single window.
    """
    windows, height, width = shape
    alphas = [("mixup", mixup), ("cutmix", cutmix)]
    asked = [(kind, alpha) for kind, alpha in alphas if alpha > 0]
    if not asked or windows < 2:
        return None
    # torch's own Beta draws from the global generator.
    random = np.random.default_rng(torch.randint(2**31, (2,), generator=generator).tolist())
    kind, alpha = asked[int(random.integers(len(asked)))]
    own = float(random.beta(alpha, alpha))
    if kind == "mixup":
        return Mix(own)
    box = _box(1 - own, height, width, random)
    return Mix(1 - (box[1] - box[0]) * (box[3] - box[2]) / (height * width), box)


def _box(share: float, height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of `share` of the frame around any of its pixels, cut to the frame."""
    tall, wide = round(height * share**0.5), round(width * share**0.5)
    top, left = int(random.integers(height)) - tall // 2, int(random.integers(width)) - wide // 2
    return max(0, top), min(height, top + tall), max(0, left), min(width, left + wide)
