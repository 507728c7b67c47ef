"""Video files as numbered frames: what reading a few frames and verifying all of them have in common (PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray


class VideoError(Exception):
    """A video cannot be read; the message is the reason, without the path."""


class SeekPoint(NamedTuple):
    """A key frame from which decoding was seen to give the same frames as decoding from the start."""

    number: int
    """Position of the frame in presentation order."""
    pts: int
    """Presentation timestamp, in the stream's time base."""


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file and the video stream that ffmpeg calls best, for decoding in one thread.

    Errors of the decoder inside the block, too, are raised as VideoError.

    Raises:
        VideoError: the file is missing, empty, unreadable, no video, or damaged.
    """
    try:
        if Path(path).stat().st_size == 0:
            raise VideoError("empty file")
        # Windows are decoded in parallel by processes; threads on top would cost more than they give.
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise VideoError("no video stream")
            if stream.codec_context is None:
                raise VideoError("no decoder for its video codec")
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            yield container, stream
    except OSError as error:  # PyAV's own errors for missing files and rights among them
        raise VideoError((error.strerror or str(error)).lower()) from error
    except av.FFmpegError as error:
        raise VideoError(f"damaged or no video: {error.strerror}") from error


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The stream's packets from the current position, ending with the one that empties the decoder."""
    for packet in container.demux(stream):
        # AVI stores a dropped frame as an empty packet, which a decoder takes for the end of the stream.
        if packet.size or packet.dts is None:
            yield packet


def numbered_frames(
    container: InputContainer, stream: VideoStream, start: SeekPoint | None = None
) -> Iterator[tuple[int, VideoFrame]]:
    """(index, frame) in presentation order, from the first frame or from `start`.

    Raises:
        VideoError: there is no key frame with the timestamp of `start`.
    """
    frames = (frame for packet in packets(container, stream) for frame in packet.decode())
    if start is None:
        yield from enumerate(frames)
        return
    container.seek(start.pts, stream=stream)
    for frame in frames:
        if frame.pts == start.pts and frame.key_frame:
            yield start.number, frame
            break
        if frame.pts is None or frame.pts >= start.pts:
            raise VideoError("its key frames are not where they were when it was verified")
    yield from enumerate(frames, start.number + 1)


def quarter_turns(frame: VideoFrame) -> int:
    """Turns by 90 degrees counterclockwise after which the frame stands upright (rotation metadata): 0 to 3."""
    return round(frame.rotation / 90) % 4


def fit(frame: VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """The upright RGB frame, scaled to cover `size` (height, width) and cut to its centre: [H, W, 3].

    Args:
        frame: what the decoder gave, in any pixel format; its colour matrix and range are honoured, alpha is dropped.
        size: height and width of the result.
        reformatter: keeps the conversion's tables from frame to frame.
    """
    turns = quarter_turns(frame)
    height, width = size if turns % 2 == 0 else size[::-1]
    scale = max(height / frame.height, width / frame.width)
    scaled_height, scaled_width = max(height, round(frame.height * scale)), max(width, round(frame.width * scale))
    rgb = reformatter.reformat(frame, width=scaled_width, height=scaled_height, format="rgb24", threads=1)
    rows = np.frombuffer(memoryview(rgb.planes[0]), np.uint8).reshape(scaled_height, rgb.planes[0].line_size)
    top, left = (scaled_height - height) // 2, (scaled_width - width) // 2
    picture = rows[top : top + height, 3 * left : 3 * (left + width)].reshape(height, width, 3)
    return np.rot90(picture, turns)
