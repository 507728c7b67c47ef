"""An encoder as other programs call it: pixels in, one tensor for each level out."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.encoders import ScoredEncoder

INPUT = "video"


class PixelEncoder(nn.Module):
    """Takes uint8 pixels at the encoder's own size, normalises them, and gives the units of every level.

    Args:
        encoder: left as it is; the network is shared.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: ScoredEncoder) -> None:
        super().__init__()
        mean, std = (torch.tensor(values).view(1, 1, 3, 1, 1) for values in encoder.config.pixels)
        self.network = encoder.network
        self.register_buffer("mean", 255 * mean)
        self.register_buffer("std", 255 * std)
        self.levels: list[str] = list(encoder.config.levels)

    def forward(self, video_BTCHW: Tensor) -> tuple[Tensor, ...]:
        """[B, T, 3, H, W] uint8 RGB to [B, units, width] for each of `levels`."""
        features = self.network((video_BTCHW.float() - self.mean) / self.std)
        return tuple(features[level] for level in self.levels)


def example(encoder: ScoredEncoder, batch: int, seed: int = 0) -> Tensor:
    """Windows of noise of the shape that an encoder takes: [B, T, 3, H, W] uint8."""
    height, width = encoder.config.frame_size
    shape = (batch, encoder.config.window.length, 3, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def description(encoder: ScoredEncoder) -> dict[str, str]:
    """What a program must know to use an exported encoder, as text."""
    config = encoder.config
    window: dict[str, Any] = {
        "frames": config.window.length,
        "sampling": config.window.sampling,
        "frequency": config.window.frequency,
        "frequency_fps": config.window.frequency_fps,
    }
    return {
        "name": encoder.name,
        "levels": json.dumps(config.levels),
        "window": json.dumps(window),
        "frame_size": json.dumps(list(config.frame_size)),
        "read_size": json.dumps(list(config.read_size)),
        "input": "uint8 RGB [batch, frames, 3, height, width]; frames scaled to cover read_size, cut to frame_size",
    }
