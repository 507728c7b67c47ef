"""The hard videos of `moving_digits`: all that moves, flickers or looks like a digit, and carries no label.

Which of the two digits has the labels? In every frame the labelled one is the larger and the brighter one, and it lies
in front. It follows its program along the axes, with a speed of its own in every frame and a pause in either half. The
other one, of another class, wanders: its heading and its speed change in every frame, so that it follows no program.
The background wanders as well, as fast as the digits; its blobs are as large as a digit and nearly as bright.
The light flickers: every frame has a brightness of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data_utils.prepare.moving_digits_easy import FRAMES, SIZE, STEPS

FloatArray = NDArray[np.float32]
_HALF = FRAMES // 2
# Bounds of what is drawn evenly. Lengths in pixels, speeds in pixels per frame, brightness from 0, black, to 1, white.
SIDE, _OTHER_SIDE = (12.5, 14.5), (9.0, 11.0)
_INK, _OTHER_INK = (0.85, 1.0), (0.55, 0.7)
_DISTANCE = (7.5, 10.0)  # of the labelled digit in half a video
_SPEED = (0.8, 1.6)  # of all else while it moves, the mean
_PACE = (0.4, 1.6)  # the speed in a frame, relative to that mean
_LONGEST_PAUSE = 3  # frames of a half
_TURN, _BACKGROUND_TURN = 0.6, 0.25  # standard deviation of the change of heading from frame to frame, radians
_BRIGHTNESS, _CONTRAST = (0.3, 0.45), (0.17, 0.2)  # mean and standard deviation of the background
_GRAIN = (3.0, 4.5)  # standard deviation of the Gaussian that makes blobs of noise
_LIGHT = (0.6, 1.2)  # what a frame is multiplied by
_NOISE = (0.0, 0.03)  # standard deviation


@dataclass(frozen=True)
class Sprite:
    """A digit on its way.

    Attributes:
        scan: [8, 8], how opaque it is.
        side: of the square that the scan is stretched to, pixels.
        ink: its brightness.
        corners_T2: the square's top left corner in every frame, (row, column), pixels.
    """

    scan: FloatArray
    side: float
    ink: float
    corners_T2: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """All that a hard video shows, before it is painted.

    Attributes:
        labelled: the digit that the labels are about.
        other: the digit without labels; None: there is none.
        background_HW: a periodic texture.
        drift_T2: how far the background has moved in every frame, (rows, columns), pixels.
        light_T: what a frame is multiplied by.
        noise_THW: what is added to every pixel.
    """

    labelled: Sprite
    other: Sprite | None
    background_HW: FloatArray
    drift_T2: NDArray[np.float64]
    light_T: NDArray[np.float64]
    noise_THW: NDArray[np.float64]


def render_hard(
    scan: FloatArray, other_scan: FloatArray, program: tuple[str, str], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draws one video.

    Args:
        scan: [8, 8] in [0, 1], of the labelled digit.
        other_scan: [8, 8] in [0, 1], of the digit without labels.
        program: the motion of each half.
        rng: draws everything that carries no label.

    Returns:
        [FRAMES, SIZE, SIZE, 3] uint8.
    """
    return paint(draw_scene(scan, other_scan, program, rng))


def draw_scene(scan: FloatArray, other_scan: FloatArray, program: tuple[str, str], rng: np.random.Generator) -> Scene:
    """Draws what a video shows; arguments as for `render_hard`."""
    side, other_side = rng.uniform(*SIDE), rng.uniform(*_OTHER_SIDE)
    room = SIZE - other_side
    course = rng.uniform(0, 2 * room, size=2) + _wander(_TURN, rng)
    return Scene(
        labelled=Sprite(scan, side, rng.uniform(*_INK), _follow(program, SIZE - side, rng)),
        other=Sprite(other_scan, other_side, rng.uniform(*_OTHER_INK), _bounce(course, room)),
        background_HW=_texture(rng),
        drift_T2=_wander(_BACKGROUND_TURN, rng),
        light_T=rng.uniform(*_LIGHT, size=FRAMES),
        noise_THW=rng.normal(0.0, rng.uniform(*_NOISE), size=(FRAMES, SIZE, SIZE)),
    )


def paint(scene: Scene) -> NDArray[np.uint8]:
    """The frames of a scene, [FRAMES, SIZE, SIZE, 3] uint8; the labelled digit lies in front."""
    frames = np.empty((FRAMES, SIZE, SIZE), np.float32)
    sprites = [sprite for sprite in (scene.other, scene.labelled) if sprite is not None]
    for t in range(FRAMES):
        frame = ndimage.shift(scene.background_HW, scene.drift_T2[t], order=1, mode="grid-wrap")
        for sprite in sprites:
            opaque_HW = _opacity(sprite, t)
            frame = frame * (1 - opaque_HW) + sprite.ink * opaque_HW
        frames[t] = frame * scene.light_T[t]
    grey = np.round((frames + scene.noise_THW).clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _opacity(sprite: Sprite, t: int) -> FloatArray:
    """How much of every pixel the sprite hides in frame t: [SIZE, SIZE] in [0, 1]."""
    # In cells of the scan; rows and columns are stretched alike and independent of each other.
    top, left = sprite.corners_T2[t]
    rows, columns = ((np.arange(SIZE) - start) * 8 / sprite.side - 0.5 for start in (top, left))
    opacity: FloatArray = ndimage.map_coordinates(
        sprite.scan, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="constant"
    )
    return opacity


def _follow(program: tuple[str, str], room: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Top-left corners [FRAMES, 2] that follow the program and stay in [0, room]."""
    moves = []
    for name in program:
        paces = _paces(rng)
        moves.append(np.outer(paces * (rng.uniform(*_DISTANCE) / paces.sum()), STEPS[name]))
    path = np.concatenate(moves).cumsum(axis=0)
    low, high = -path.min(axis=0), room - path.max(axis=0)
    corners: NDArray[np.float64] = path + low + rng.uniform(size=2) * (high - low)
    return corners


def _wander(turn: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A course [FRAMES, 2] without a goal: heading and speed change from frame to frame."""
    heading = rng.uniform(0, 2 * np.pi) + rng.normal(0.0, turn, size=FRAMES).cumsum()
    steps = rng.uniform(*_SPEED) * np.concatenate([_paces(rng), _paces(rng)])
    course: NDArray[np.float64] = (steps[:, None] * np.stack([np.sin(heading), np.cos(heading)], axis=1)).cumsum(axis=0)
    return course


def _paces(rng: np.random.Generator) -> NDArray[np.float64]:
    """Relative speeds of the frames of a half, [FRAMES / 2]; 0 in a pause."""
    paces = rng.uniform(*_PACE, size=_HALF)
    pause = rng.integers(_LONGEST_PAUSE + 1)
    start = rng.integers(_HALF - pause + 1)
    paces[start : start + pause] = 0
    return paces


def _bounce(course_T2: NDArray[np.float64], room: float) -> NDArray[np.float64]:
    """The course, reflected at 0 and `room`."""
    return room - np.abs(course_T2 % (2 * room) - room)


def _texture(rng: np.random.Generator) -> FloatArray:
    """A periodic texture [SIZE, SIZE] with structure at the scale of a digit's strokes."""
    noise = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(*_GRAIN), mode="wrap")
    noise = (noise - noise.mean()) * (rng.uniform(*_CONTRAST) / noise.std())
    texture: FloatArray = (rng.uniform(*_BRIGHTNESS) + noise).astype(np.float32)
    return texture
