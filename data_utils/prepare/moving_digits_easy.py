"""The easy videos of `moving_digits`: one digit over a smooth background that drifts slowly.

What is drawn here is fixed: other bytes would make the folders of earlier versions stale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIZE, FRAMES = 36, 16
SIDE = (11.0, 14.0)  # of the square that a digit fills, pixels; the first number that is drawn
STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def render(scan: NDArray[np.float32], program: tuple[str, str], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws one video.

    Args:
        scan: [8, 8] in [0, 1].
        program: the motion of each half.
        rng: draws everything that carries no label.

    Returns:
        [FRAMES, SIZE, SIZE, 3] uint8.
    """
    side = rng.uniform(*SIDE)
    path = _path(program, SIZE - side, rng)
    contrast = rng.uniform(0.45, 0.65)
    background = _texture(rng)
    drift = rng.uniform(-0.5, 0.5, size=2)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    frames = np.empty((FRAMES, SIZE, SIZE), np.float32)
    for t, (top, left) in enumerate(path):
        cells = [(rows - top) * 8 / side - 0.5, (columns - left) * 8 / side - 0.5]
        alpha = ndimage.map_coordinates(scan, cells, order=1, mode="constant")
        behind = ndimage.shift(background, drift * t, order=1, mode="grid-wrap")
        frames[t] = behind + contrast * alpha
    frames += rng.normal(0.0, rng.uniform(0.0, 0.03), size=frames.shape)
    grey = np.round(frames.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _path(program: tuple[str, str], room: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Top-left corners [FRAMES, 2] that follow the program and stay in [0, room].

    Each half covers at least 9 pixels, so that its motion is longer than what start and size can hide.
    """
    half = FRAMES // 2
    moves = [np.outer(np.linspace(0, 1, half + 1)[1:], STEPS[name]) * rng.uniform(9.0, 10.0) for name in program]
    path = np.concatenate([moves[0], moves[0][-1] + moves[1]])
    low, high = -path.min(axis=0), room - path.max(axis=0)
    path += low + rng.uniform(size=2) * (high - low)
    return path


def _texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth, periodic texture [SIZE, SIZE] on a random grey: strong over the frame, weak inside a patch."""
    noise = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(8.0, 12.0), mode="wrap")
    noise = (noise - noise.mean()) * (rng.uniform(0.07, 0.14) / noise.std())
    texture: NDArray[np.float32] = (rng.uniform(0.1, 0.45) + noise).astype(np.float32)
    return texture
