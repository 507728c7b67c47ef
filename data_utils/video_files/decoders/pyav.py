"""PyAV: brings its own FFmpeg, counts frames one by one, and is what the other decoders are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from data_utils.video_files.decoders.protocol import Known
from data_utils.video_files.decoding import VideoError, fit, numbered_frames, open_video, regular_seek_point, too_short


class PyAVDecoder:
    """Counts from the first frame, which is exact whatever the timestamps, or from a key frame known to be right.

    Colour matrix and range are honoured, pixel aspect ratio and alpha are not.
    """

    def __init__(self) -> None:
        self._reformatter: VideoReformatter | None = None

    def __getstate__(self) -> dict[str, object]:
        """Conversion tables stay in their process."""
        return {"_reformatter": None}

    def frames(
        self, path: str | Path, numbers: Sequence[int], size: tuple[int, int], known: Known
    ) -> NDArray[np.uint8]:
        """See `Decoder.frames`."""
        self._reformatter = self._reformatter or VideoReformatter()
        pictures = np.empty((len(numbers), *size, 3), np.uint8)
        before = [point for point in known.seek_points if point.number <= numbers[0]]
        index, done = -1, 0
        with open_video(path) as (container, stream):
            start = regular_seek_point(container, stream, numbers[0]) or (before[-1] if before else None)
            for index, frame in numbered_frames(container, stream, start):
                if frame.is_corrupt:
                    raise VideoError(f"damaged: frame {index + 1} does not decode")
                if index == numbers[done]:
                    pictures[done] = fit(frame, size, self._reformatter)
                    done += 1
                    if done == len(numbers):
                        return pictures
        raise too_short(index + 1, numbers[-1])
