"""Format `video`: files as they are, or re-encoded ones, decoded when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from data_utils.decoding import SeekPoint, VideoError, fit, numbered_frames, open_video


class VideoReader:
    """Frames of video files, decoded by PyAV in one thread; colour is honoured, pixel aspect ratio and alpha are not.

    Frames are counted from the first one, which is exact whatever the timestamps, or from a seek point in front of
    the first wanted frame: in a long video all else would decode minutes for a window near its end.
    """

    def __init__(self, seek_points: Mapping[str, Sequence[SeekPoint]] | None = None) -> None:
        """`seek_points`: by path, ascending, as verification found them; none: decode from the start."""
        self._seek_points = seek_points or {}
        self._reformatter: VideoReformatter | None = None

    def __getstate__(self) -> dict[str, object]:
        """Conversion tables stay in their process."""
        return self.__dict__ | {"_reformatter": None}

    def read(self, path: str | Path, indices: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
        """See `FrameReader.read`."""
        self._reformatter = self._reformatter or VideoReformatter()
        first, last = int(indices.min()), int(indices.max())
        if first < 0:
            raise ValueError(f"frame {first} was asked for")
        before = [point for point in self._seek_points.get(str(path), ()) if point.number <= first]
        pictures = np.empty((len(indices), *size, 3), np.uint8)
        wanted = set(indices.tolist())
        index = -1
        with open_video(path) as (container, stream):
            for index, frame in numbered_frames(container, stream, before[-1] if before else None):
                if index in wanted:
                    pictures[indices == index] = fit(frame, size, self._reformatter)
                if index >= last:
                    return pictures
        raise VideoError(f"ends after {index + 1} frames, frame {last + 1} was asked for")
