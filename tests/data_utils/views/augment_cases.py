"""Configs, videos and keys for the tests of augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from config.augmentation import Augmentation


def augmentation(**changes: Any) -> Augmentation:
    """Changes nothing, but for `changes`: `crop=0.5` sets a probability, `crop={...}` any key."""
    keys: dict[str, Any] = {
        "crop": {"probability": 0.0, "scale": [0.3, 0.6], "ratio": [0.8, 1.25]},
        "flip": 0.0,
        "color_jitter": {"probability": 0.0, "brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1},
        "grayscale": 0.0,
        "blur": {"probability": 0.0, "sigma": [0.5, 2.0]},
        "static_swap": {"probability": 0.0, "mode": "add"},
        "shift": {"probability": 0.0, "pixels": 2.5},
        "rotation": {"probability": 0.0, "degrees": 20.0},
        "noise": {"probability": 0.0, "std": [0.02, 0.05]},
    }
    for name, change in changes.items():
        if isinstance(change, dict):
            keys[name] |= change
        elif isinstance(keys[name], dict):
            keys[name]["probability"] = change
        else:
            keys[name] = change
    return Augmentation(**keys)


def everything(probability: float) -> Augmentation:
    """All that has no other draw in another batch."""
    names = ("crop", "flip", "rotation", "shift", "color_jitter", "grayscale", "blur")
    return augmentation(**dict.fromkeys(names, probability))


def pixels(windows: int = 3, frames: int = 2, height: int = 9, width: int = 12, seed: int = 0) -> Tensor:
    """Random uint8 video [B, T, 3, H, W]."""
    numbers = np.random.default_rng(seed).integers(0, 256, (windows, frames, 3, height, width), np.uint8)
    return torch.from_numpy(numbers)


def keys(number: int) -> list[tuple[int, int]]:
    return [(7, index) for index in range(number)]
