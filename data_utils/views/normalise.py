"""From stored pixels to the model's input: one place, so that training and evaluation cannot differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normalise(video_BTCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels / 255 - mean) / std per channel, on the video's own device.

    Args:
        video_BTCHW: uint8 pixels; any leading axes before channels, height and width will do.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].

    Returns:
        float32 of the same shape.

    Raises:
        TypeError: the video is not uint8: it has been normalised before.
    """
    if video_BTCHW.dtype != torch.uint8:
        raise TypeError(f"expected uint8 pixels, got {video_BTCHW.dtype}")
    scale = torch.tensor([1 / (255 * s) for s in std], device=video_BTCHW.device).view(-1, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=video_BTCHW.device).view(-1, 1, 1)
    return torch.addcmul(shift, video_BTCHW, scale)


def to_pixels(video_BTCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Inverts `normalise`: uint8 pixels of the same shape.

    Args:
        video_BTCHW: normalised.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
    """
    scale = torch.tensor(std, device=video_BTCHW.device).view(-1, 1, 1)
    shift = torch.tensor(mean, device=video_BTCHW.device).view(-1, 1, 1)
    return (video_BTCHW * scale + shift).mul(255).round_().clamp_(0, 255).to(torch.uint8)
