"""A file that decodes silently short would train on frames that are not there: decode all of it once, and count.

As a program (`python -m data_utils.video_files.inspection`) it is asked by `inspector.py`: a decoder that crashes or
hangs on a broken file takes only this process with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data_utils.video_files.decoding import SeekPoint, VideoError, open_video, packets, quarter_turns
from data_utils.video_files.frame_rate import FrameTimes
from data_utils.video_files.helper_process import Voice, answer_requests
from data_utils.video_files.seek_points import SeekPointFinder

# Containers without a frame count give a duration at best, rounded by some.
_DURATION_TOLERANCE = 0.01
# AVI writers are known to count a frame or two too many in the header.
_COUNT_TOLERANCE = 0.02
_TRIED_PACKETS = 100  # until one gives a frame, of a file that may not be a video


FACTS = ("frames", "height", "width", "fps")
"""The columns of catalogs and indices that hold what VideoFacts says."""


@dataclass(frozen=True)
class VideoFacts:
    """The facts of a video, from a full decode."""

    frames: int
    """Frames that decode."""
    height: int
    """Height of the upright first frame, pixels."""
    width: int
    fps: float
    """Average frames per second, as they were counted; 0 where the file does not say."""
    seek_points: tuple[SeekPoint, ...] = ()
    """Verified places to start decoding in a long video."""

    @classmethod
    def from_list(cls, values: list[Any]) -> VideoFacts:
        """Restores facts from what `dataclasses.astuple` and JSON have made of them."""
        frames, height, width, fps, points = values
        return cls(frames, height, width, fps, tuple(SeekPoint(*point) for point in points))


class CheckedVideo:
    """The frames of a file, every one of them, and the check that they are what it promises."""

    facts: VideoFacts
    """Known after the last frame."""

    def __init__(self, path: str | Path, alive: Callable[[], None] = lambda: None, *, seek_points: bool = True) -> None:
        """Opens nothing yet.

        Args:
            path: the video.
            alive: called after every packet, to show that the decoder does not hang.
            seek_points: whether `facts` should hold them, for which long videos are decoded twice.
        """
        self._path, self._alive, self._seek_points = path, alive, seek_points

    def frames(self) -> Iterator[VideoFrame]:
        """The frames in presentation order, as they are stored (not upright); may be called once.

        Raises:
            VideoError: at the beginning where the file cannot be opened; at the end where it holds no frame, or
                decodes short of what it promises.
        """
        finder = SeekPointFinder() if self._seek_points else None
        with open_video(self._path) as (container, stream):
            count = _Count(_promised_frames(container, stream))
            for frame in _decode(container, stream, count, self._alive):
                if finder:
                    finder.add(count.frames, frame)
                count.add(frame)
                yield frame
            first = _check(container, stream, count)
            fps = count.times.rate(stream)
            upright = (first.height, first.width)[:: 1 if quarter_turns(first) % 2 == 0 else -1]
        points = finder.verified(self._path, self._alive) if finder else ()
        self.facts = VideoFacts(count.frames, upright[0], upright[1], fps, points)


def inspect_video(path: str | Path, alive: Callable[[], None] = lambda: None) -> VideoFacts:
    """Decodes a whole file, or all pictures of a folder, whose frame rate is not known.

    Args:
        path: the video.
        alive: called after every packet, to show that the decoder does not hang.

    Raises:
        VideoError: the file cannot be opened, holds no frame, or decodes short of what it promises.
    """
    if os.path.isdir(path):  # noqa: PTH112  False, and no error, where the system does not tell
        from data_utils.video_files.picture_folders import folder_facts

        return VideoFacts(*folder_facts(path, alive), fps=0.0)
    video = CheckedVideo(path, alive)
    for _ in video.frames():
        pass
    return video.facts


def is_video(path: str | Path) -> bool:
    """Whether FFmpeg opens a file as a video and decodes a frame of its beginning."""
    try:
        with open_video(path) as (container, stream):
            for packet in islice(packets(container, stream), _TRIED_PACKETS):
                if packet.decode():
                    return True
    except VideoError:  # that is the answer
        return False
    return False


@dataclass
class _Count:
    """The state of reading a stream."""

    promised: int
    """Frames that the file's own index or header promises; 0 where it has none."""
    packets: int = 0
    hidden: int = 0
    frames: int = 0
    damaged: bool = False
    first: VideoFrame | None = None
    last: VideoFrame | None = None
    longest_gap: int = 0
    """Between two frames, in the stream's time base."""
    times: FrameTimes = field(default_factory=FrameTimes)

    def add(self, frame: VideoFrame) -> None:
        if self.last is not None and self.last.pts is not None and frame.pts is not None:
            self.longest_gap = max(self.longest_gap, frame.pts - self.last.pts)
        self.first, self.last = self.first or frame, frame
        self.frames += 1
        self.times.add(frame.pts)


def _check(container: InputContainer, stream: VideoStream, count: _Count) -> VideoFrame:
    """Raises VideoError where there are fewer frames than promised; gives the first one."""
    if not count.damaged and count.promised:
        # Edit lists hide packets that only serve to decode later ones.
        missing = count.promised - count.hidden - count.frames
        count.damaged = missing > (0 if _is_mov(container) else max(1, _COUNT_TOLERANCE * count.promised))
    if count.damaged:
        raise VideoError(f"damaged: {count.frames} of {count.promised or count.packets} frames decode")
    if count.first is None:
        raise VideoError("no frame decodes")
    _check_duration(container, stream, count)
    return count.first


def _is_mov(container: InputContainer) -> bool:
    return "mov" in container.format.name.split(",")


def _promised_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames that the file's own index or header promises; 0 where it has none."""
    # In the MP4 family the index lists every packet; the header's count ignores what an edit list cuts off.
    return (len(stream.index_entries) if _is_mov(container) else 0) or stream.frames


def _decode(
    container: InputContainer, stream: VideoStream, count: _Count, alive: Callable[[], None]
) -> Iterator[VideoFrame]:
    """The frames up to the first damage; then it only counts packets."""
    demuxed = packets(container, stream)
    while (packet := _next_packet(demuxed, count)) is not None:
        count.packets += packet.size > 0
        count.hidden += packet.is_discard
        if not count.damaged:
            yield from _decode_packet(packet, count)
        alive()


def _next_packet(demuxed: Iterator[Packet[VideoStream]], count: _Count) -> Packet[VideoStream] | None:
    try:
        return next(demuxed, None)
    except av.FFmpegError:  # of the container, not of the decoder
        count.damaged = True
        return None


def _decode_packet(packet: Packet[VideoStream], count: _Count) -> Iterator[VideoFrame]:
    """The frames that the decoder gives for a packet, up to the first damage."""
    if packet.is_corrupt:
        count.damaged = True
        return
    try:
        frames = packet.decode()
    except av.FFmpegError:
        count.damaged = True
        return
    for frame in frames:
        if frame.is_corrupt:
            count.damaged = True
            return
        yield frame


def _check_duration(container: InputContainer, stream: VideoStream, count: _Count) -> None:
    """Raises VideoError where a file without frame count ends long before its duration."""
    last = count.last
    if stream.frames or last is None or last.pts is None or last.time_base is None:
        return
    seconds = _promised_seconds(container, stream)
    end = float((last.pts + (last.duration or 0)) * last.time_base)
    # Where frames are shown for different times, nobody knows for how long the last one is.
    slack = float(2 * count.longest_gap * last.time_base)
    if end + slack < (1 - _DURATION_TOLERANCE) * seconds:
        raise VideoError(f"damaged: ends after {end:.1f} of {seconds:.1f} seconds ({count.frames} frames decode)")


def _promised_seconds(container: InputContainer, stream: VideoStream) -> float:
    """The stream's duration, 0 where it is not known."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:00:04.966000000
    minutes, _, seconds = rest.partition(":")
    if seconds:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    alone = len(container.streams) == 1
    return (container.duration or 0) / av.time_base if alone else 0.0


def _answer(request: str | dict[str, str], voice: Voice) -> dict[str, object]:
    """`{"facts": [...]}` or `{"reason": ...}` for a path; `{"is_video": ...}` for an object that asks that."""
    if isinstance(request, dict):
        return {"is_video": is_video(request["is_video"])}
    try:
        return {"facts": astuple(inspect_video(request, voice.alive))}
    except VideoError as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": "its frames do not fit into the memory"}


if __name__ == "__main__":
    answer_requests(_answer)
