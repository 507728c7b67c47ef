"""The contract of a video decoder: exactly the frames that are asked for, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_utils.video_files.decoding import SeekPoint


@dataclass(frozen=True)
class Known:
    """The facts that a full decode by PyAV has found."""

    frames: int | None = None
    """Their number; None: not known."""
    seek_points: Sequence[SeekPoint] = ()
    """Places to start decoding, ascending."""


class Decoder(Protocol):
    """Decodes in the calling thread; is picklable, and holds nothing that a fork would break."""

    def frames(
        self, path: str | Path, numbers: Sequence[int], size: tuple[int, int], known: Known
    ) -> NDArray[np.uint8]:
        """Frames of a file's best video stream as upright RGB, scaled to cover `size` and cut to its centre.

        Args:
            path: the video.
            numbers: positions in presentation order, ascending and distinct, none below 0.
            size: height and width of the result.
            known: what verification found of the video.

        Returns:
            [len(numbers), H, W, 3].

        Raises:
            VideoError: the video cannot be read, is damaged, ends before the last number, or is of a kind of which
                this decoder would give other frames.
        """
        ...
