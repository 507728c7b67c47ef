"""How many units a window has at every level, and how many tokens a unit: derived once, from a few numbers.

The facts about networks that decide which sizes fit stand here too. Nothing heavy is imported: the config asks for
these numbers before anything else is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CONV_STEM_STRIDE = 4
"""Pixels between two places of the convolutional stem's feature map: a patch is a multiple of it."""

MIN_FRAMES = {"s3d": 8, "r2plus1d_18": 1, "mvit_v2_s": 1, "swin3d_t": 1}
"""Frames of the shortest window of each network of torchvision. S3D halves time three times; and for 5 to 7 frames, the
weight gradient of its first temporal convolution (7 x 1 x 1, stride 2) is garbage on the CPU, or ends the process:
torch 2.13 with oneDNN."""


@dataclass(frozen=True)
class Geometry:
    """The numbers of a hierarchy's levels.

    A level joins `tokens` units of the level below it into each of its own `units`; `backbone` makes patches and joins
    nothing.
    """

    groups: tuple[str, ...]
    """The levels, lowest first; with `backbone`, patches are units of their own."""
    grid: tuple[int, int]
    """Rows and columns of patches in a frame."""
    frames_per_clip: int
    """Frames that `time` joins."""
    clips: int
    """Clips that `clip` joins."""

    @classmethod
    def of_window(
        cls, groups: Sequence[str], frame_size: Sequence[int], patch_size: int, frames: int, frames_per_clip: int
    ) -> Geometry:
        """The geometry of windows of `frames` frames.

        Args:
            groups: the levels, lowest first.
            frame_size: height and width of a frame, pixels.
            patch_size: side of a square patch, pixels.
            frames: of a window.
            frames_per_clip: frames that make up a clip.
        """
        grid = (frame_size[0] // patch_size, frame_size[1] // patch_size)
        return cls(tuple(groups), grid, frames_per_clip, clips=frames // frames_per_clip)

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        return math.prod(self.grid)

    @property
    def frames(self) -> int:
        """Frames of a window, those that fill whole clips."""
        return self.frames_per_clip * self.clips

    @property
    def joining(self) -> tuple[str, ...]:
        """The levels that join units of the level below, lowest first: all but `backbone`."""
        return tuple(level for level in self.groups if level != "backbone")

    def shape(self, level: str) -> tuple[int, ...]:
        """The places of a unit's tokens: (rows, columns) of patches, (n,) frames or clips."""
        shapes = {"space": self.grid, "time": (self.frames_per_clip,), "clip": (self.clips,)}
        return shapes[level]

    def tokens(self, level: str) -> int:
        """Units of the level below inside one unit of `level`; 0 for `backbone`, which has nothing below it."""
        return 0 if level == "backbone" else math.prod(self.shape(level))

    def units(self, level: str) -> int:
        """Units of `level` in a window."""
        return {"backbone": self.frames * self.patches, "space": self.frames, "time": self.clips, "clip": 1}[level]

    def simultaneous(self, level: str) -> int:
        """Units of `level` that show the same time: the patches of a frame; one of any other level."""
        return self.patches if level == "backbone" else 1

    def times(self, level: str) -> int:
        """Different times that the units of `level` show."""
        return self.units(level) // self.simultaneous(level)

    def below(self, level: str) -> str:
        """The level whose units `level` joins, whether or not it is one of `groups`; `backbone` joins none."""
        return {"space": "backbone", "time": "space", "clip": "time"}[level]

    def above(self, level: str) -> str | None:
        """The level of `groups` that joins the units of `level`; None for the last one."""
        return dict(zip(self.groups, self.groups[1:], strict=False)).get(level)


# ------------------------------------------------------------------------------------------- tubelets and masks

Grid3 = tuple[int, int, int]
"""Times, rows and columns of tubelets; they stand in this order."""

MaskKind = Literal["random", "tube", "frame", "causal"]


def tubelet_grid(frames: int, frame_size: Sequence[int], tubelet: int, patch_size: int) -> Grid3:
    """The grid of tubelets of a window; an image, a window of one frame, has one time.

    Args:
        frames: of the window.
        frame_size: height and width of a frame, pixels.
        tubelet: frames of a tubelet.
        patch_size: its side, pixels.
    """
    return max(1, frames // tubelet), frame_size[0] // patch_size, frame_size[1] // patch_size


def masked_count(number: int, ratio: float) -> int:
    """How many of `number` things are hidden: floor(number * ratio), 147 of 196 at 0.75 and 1,411 of 1,568 at 0.9."""
    return math.floor(number * ratio + 1e-9)  # 0.29 * 100 is 28.999999999999996


def masked_things(kind: MaskKind, grid: Grid3) -> int:
    """What the ratio of a kind of mask is a share of: tokens (`random`), places of a frame (`tube`), or times."""
    times, rows, columns = grid
    return {"random": times * rows * columns, "tube": rows * columns, "frame": times, "causal": times}[kind]
