"""A file that decodes silently short would train on frames that are not there: decode all of it once, and count.

As a program (`python -m data_utils.inspection`) it reads paths as JSON, one a line, and answers each with one line: a
decoder that crashes or hangs on a broken file takes only this process with it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data_utils.decoding import SeekPoint, VideoError, open_video, packets, quarter_turns
from data_utils.seek_points import SeekPointFinder

# Containers without a frame count give a duration at best, rounded by some.
_DURATION_TOLERANCE = 0.01
# AVI writers are known to count a frame or two too many in the header.
_COUNT_TOLERANCE = 0.02


@dataclass(frozen=True)
class VideoFacts:
    """What a full decode shows of a video."""

    frames: int
    """Frames that decode."""
    height: int
    """Of the upright first frame, pixels."""
    width: int
    fps: float
    """Average frames per second; 0 where the file does not say."""
    seek_points: tuple[SeekPoint, ...] = ()
    """Verified places to start decoding in a long video."""

    @classmethod
    def from_list(cls, values: list[Any]) -> VideoFacts:
        """What `dataclasses.astuple` and JSON have made of it, as facts again."""
        frames, height, width, fps, points = values
        return cls(frames, height, width, fps, tuple(SeekPoint(*point) for point in points))


@dataclass
class _Count:
    """What has been seen of a stream."""

    packets: int = 0
    hidden: int = 0
    frames: int = 0
    damaged: bool = False
    first: VideoFrame | None = None
    last: VideoFrame | None = None
    longest_gap: int = 0
    """Between two frames, in the stream's time base."""
    finder: SeekPointFinder = field(default_factory=SeekPointFinder)


def inspect_video(path: str | Path, alive: Callable[[], None] = lambda: None) -> VideoFacts:
    """Decodes a whole file.

    Args:
        path: the video.
        alive: called after every packet, to show that the decoder does not hang.

    Raises:
        VideoError: the file cannot be opened, holds no frame, or decodes short of what it promises.
    """
    with open_video(path) as (container, stream):
        promised = _promised_frames(container, stream)
        count = _decode(container, stream, alive)
        if not count.damaged and promised:
            # Edit lists hide packets that only serve to decode later ones.
            missing = promised - count.hidden - count.frames
            count.damaged = missing > (0 if _is_mov(container) else max(1, _COUNT_TOLERANCE * promised))
        if count.damaged:
            raise VideoError(f"damaged: {count.frames} of {promised or count.packets} frames decode")
        if count.first is None or count.last is None:
            raise VideoError("no frame decodes")
        _check_duration(container, stream, count)
        rate = stream.average_rate or stream.guessed_rate or 0
        upright = (count.first.height, count.first.width)[:: 1 if quarter_turns(count.first) % 2 == 0 else -1]
    points = count.finder.verified(path, alive)
    return VideoFacts(count.frames, upright[0], upright[1], round(float(rate), 3), points)


def _is_mov(container: InputContainer) -> bool:
    return "mov" in container.format.name.split(",")


def _promised_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames that the file's own index or header promises; 0 where it has none."""
    # In the MP4 family the index lists every packet; the header's count ignores what an edit list cuts off.
    return (len(stream.index_entries) if _is_mov(container) else 0) or stream.frames


def _decode(container: InputContainer, stream: VideoStream, alive: Callable[[], None]) -> _Count:
    """Decodes up to the first damage, then only counts packets."""
    count = _Count()
    try:
        for packet in packets(container, stream):
            count.packets += packet.size > 0
            count.hidden += packet.is_discard
            if not count.damaged:
                count.damaged = not _decode_packet(packet, count)
            alive()
    except av.FFmpegError:  # of the container, not of the decoder
        count.damaged = True
    return count


def _decode_packet(packet: Packet[VideoStream], count: _Count) -> bool:
    """Counts the frames that the decoder gives for a packet; False where it finds damage."""
    if packet.is_corrupt:
        return False
    try:
        for frame in packet.decode():
            if frame.is_corrupt:
                return False
            count.finder.add(count.frames, frame)
            if count.last is not None and count.last.pts is not None and frame.pts is not None:
                count.longest_gap = max(count.longest_gap, frame.pts - count.last.pts)
            count.first, count.last = count.first or frame, frame
            count.frames += 1
    except av.FFmpegError:
        return False
    return True


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


def _answer_requests() -> None:
    """Reads JSON paths from stdin, answers `{"facts": [...]}` or `{"reason": ...}`; `{}` each second until then."""
    spoken = time.monotonic()

    def say(answer: dict[str, object]) -> None:
        nonlocal spoken
        print(json.dumps(answer), flush=True)
        spoken = time.monotonic()

    def alive() -> None:
        if time.monotonic() - spoken > 1:
            say({})

    say({})
    for line in sys.stdin:
        try:
            facts = inspect_video(json.loads(line), alive)
        except VideoError as error:
            say({"reason": str(error)})
        else:
            say({"facts": astuple(facts)})


if __name__ == "__main__":
    _answer_requests()
