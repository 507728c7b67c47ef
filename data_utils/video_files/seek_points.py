"""A window near the end of a long video would cost the decoding of all that comes before it.

Starting at a key frame is quicker but not always exact (open groups of pictures, wrong indexes), so every seek point is
tried out when the video is verified, and kept only where the frames are the same, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from zlib import crc32

from av.video.frame import VideoFrame

from data_utils.video_files.decoding import SeekPoint, VideoError, numbered_frames, open_video

# Up to here decoding from the start is quick enough.
MIN_DISTANCE = 256


class SeekPointFinder:
    """Collects key frames, and the checksums of the frames behind them, while a video is decoded from its start."""

    def __init__(self) -> None:
        self._candidates: list[SeekPoint] = []
        self._checksums: list[int] = []
        self._last_pts: int | None = None
        self._usable = True

    def add(self, index: int, frame: VideoFrame) -> None:
        """Takes frame `index`; all frames must come, in order."""
        if not self._usable:
            return
        # A frame is found again by its timestamp: it must be there and grow.
        self._usable = frame.pts is not None and (self._last_pts is None or frame.pts > self._last_pts)
        if not self._usable or frame.pts is None:
            return
        self._last_pts = frame.pts
        earlier = self._candidates[-1].number if self._candidates else 0
        if frame.key_frame and index - earlier >= MIN_DISTANCE:
            self._candidates.append(SeekPoint(index, frame.pts))
        if self._candidates:
            try:
                self._checksums.append(_checksum(frame))
            except ValueError:  # a rare pixel format that PyAV cannot hand out
                self._usable = False

    def verified(self, path: str | Path, alive: Callable[[], None]) -> tuple[SeekPoint, ...]:
        """The key frames from which every frame up to the next one decodes as it did from the start.

        Args:
            path: the video whose frames were added.
            alive: called after every frame.
        """
        if not self._usable or not self._candidates:
            return ()
        first = self._candidates[0].number
        bounds = [point.number - first for point in self._candidates] + [len(self._checksums)]
        return tuple(
            point
            for point, (begin, end) in zip(self._candidates, pairwise(bounds), strict=True)
            if _same_frames(path, point, self._checksums[begin:end], alive)
        )


def _checksum(frame: VideoFrame) -> int:
    return crc32(frame.to_ndarray().tobytes())


def _same_frames(path: str | Path, point: SeekPoint, checksums: list[int], alive: Callable[[], None]) -> bool:
    seen = 0
    try:
        with open_video(path) as (container, stream):
            for checksum, (_, frame) in zip(checksums, numbered_frames(container, stream, point), strict=False):
                if _checksum(frame) != checksum:
                    return False
                seen += 1
                alive()
    except VideoError:
        return False
    return seen == len(checksums)
