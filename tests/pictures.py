"""Looks into figures, and records to draw: what the tests of figures share."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def has_colour(image: NDArray[np.uint8], colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(image.astype(int) - wanted).max(axis=-1) <= 12).any())


def step(number: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "step",
        "step": number,
        "loss": {"space": {"down": 1.0 / number}},
        "grad_norm": {"space": 1.0},
    } | more


def validation(number: int, alarms: list[str] | None = None, **more: Any) -> dict[str, Any]:
    knn = {"space": {"digit": {"top1": 20.0 + number, "random_init": 30.0, "chance": 10.0}}}
    return {
        "kind": "validation",
        "step": number,
        "knn": knn,
        "rank": {"space": 8.0},
        "std": {"space": 0.5},
        "alarms": alarms or [],
    } | more


def make_windows(windows: int = 2, frames: int = 8, side: int = 16) -> NDArray[np.uint8]:
    """Every frame in a shade of its own."""
    shades = np.arange(windows * frames, dtype=np.uint8).reshape(windows, frames, 1, 1, 1) * 10 + 20
    return np.broadcast_to(shades, (windows, frames, side, side, 3)).copy()
