"""A window as one row of frames, and where each frame stands in it, so that bars and colours can stand below it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

GAP, CLIP_GAP = 0.06, 0.3  # between frames and between clips, as shares of a frame's width
FEWEST = 5.0  # frames that there is room for in any case
WIDE_FRAMES = 16  # a longer window gets a wider figure, 30 inches at most
LETTERS = 0.9  # inches beside a row for its name
SIDE = 100  # pixels: narrower frames are enlarged at least to this


@dataclass(frozen=True)
class FramePlaces:
    """Where the frames of a window stand, in widths of a frame."""

    left_T: NDArray[np.float64]

    @classmethod
    def of(cls, frames: int, clips: int) -> FramePlaces:
        """Places of `frames` frames in `clips` clips of the same length."""
        number_T = np.arange(frames)
        return cls(number_T * (1 + GAP) + number_T // (frames // clips) * CLIP_GAP)

    @property
    def width(self) -> float:
        """The width of the whole row, a few frames at least: a single one would fill the page."""
        return max(FEWEST, float(self.left_T[-1]) + 1)

    def spans(self, units: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Left ends and widths of as many units, each of which has the same number of frames: [U] and [U]."""
        left_UT = self.left_T.reshape(units, -1)
        return left_UT[:, 0], left_UT[:, -1] + 1 - left_UT[:, 0]

    def figure_width(self) -> float:
        """Inches."""
        return min(30.0, 9.0 * max(1.0, len(self.left_T) / WIDE_FRAMES))

    def row_height(self, frame_height: float, figure_width: float) -> float:
        """Inches of a row of frames.

        Args:
            frame_height: in widths of a frame.
            figure_width: inches, with what stands beside the row.
        """
        return (figure_width - 2 * LETTERS) / self.width * frame_height


def draw_frames(ax: Axes, frames_THWC: NDArray[np.uint8], places: FramePlaces) -> None:
    """Draws frames at their places; the axes have one frame's width as unit, and 0 at the bottom of the frames."""
    height, width = frames_THWC.shape[1:3]
    zoom = -(-SIDE // width)  # gaps are whole pixels of the picture
    wide = zoom * width
    row_HWC = np.full((zoom * height, round(places.width * wide), 3), 255, np.uint8)
    for left, frame in zip(places.left_T, frames_THWC, strict=True):
        first = round(left * wide)
        row_HWC[:, first : first + wide] = frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
    tall = height / width
    ax.imshow(row_HWC, extent=(0, places.width, 0, tall), interpolation="nearest", aspect="auto")
    bare(ax)


def bare(ax: Axes) -> None:
    """Takes ticks, grid and frame off; a label at the side stays."""
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def name_row(ax: Axes, name: str) -> None:
    """Writes the name of a row beside it."""
    ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
