"""Video files as numbered frames: what reading a few frames and verifying all of them have in common (PyAV)."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from data_utils.video_files.cover import covering, cut_centre

_REGULAR = "distance of key frames: "
# What FFmpeg may take a file for: real containers and bare video streams. Left out are lists that make it open other
# files (concat, HLS, DASH, SDP), pictures, sound, and text that it would draw as a film (tty).
CONTAINERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "live_flv", "asf", "gif", "apng", "ogg", "rm",
    "mxf", "nut", "ivf", "obu", "h261", "h263", "h264", "hevc", "vvc", "evc", "m4v", "mjpeg", "mjpeg_2000",
    "yuv4mpegpipe", "dv", "wtv", "ty", "gxf", "lxf", "swf", "nuv", "nsv", "vc1", "vc1test", "dirac", "cavsvideo",
    "avs2", "avs3", "dnxhd", "cine", "mlv", "dhav", "ivr", "kux", "vivo", "pva", "smjpeg", "thp", "bink", "smk", "roq",
    "flic", "4xm", "film_cpk", "rpl", "xmv", "yop",
)  # fmt: skip
_ONLY_CONTAINERS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
TEXT_BYTES = 4096  # looked at to tell text from a video


class VideoError(Exception):
    """A video cannot be read; the message is the reason, without the path."""


class SeekPoint(NamedTuple):
    """A key frame from which decoding was seen to give the same frames as decoding from the start."""

    number: int
    """Position of the frame in presentation order."""
    pts: int
    """Presentation timestamp, in the stream's time base."""


def too_short(frames: int, last: int) -> VideoError:
    """The error of a video of `frames` frames of which number `last` was asked for."""
    return VideoError(f"ends after {frames} frames, frame {last + 1} was asked for")


def first_bytes(path: str | Path, count: int) -> bytes:
    """The file's first bytes.

    Raises:
        VideoError: the file is missing, empty, or cannot be read.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode) and not Path(path).is_dir():  # a pipe would be waited for
            raise VideoError("neither a file nor a folder")
        with Path(path).open("rb") as file:
            start = file.read(count)
    except OSError as error:
        raise VideoError((error.strerror or str(error)).lower()) from error
    if not start:
        raise VideoError("empty file")
    return start


def is_text(start: bytes) -> bool:
    """Whether a file that begins with these bytes is text, as no container of videos is."""
    if start.startswith(b"YUV4MPEG2 "):  # a line of text, then pixels, which may look like text as well
        return False
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # a letter that is cut off at the end is text all the same
            return False
        text = start[: error.start].decode("utf-8-sig")
    return "\0" not in text and sum(letter.isprintable() or letter in "\t\n\r\f" for letter in text) == len(text)


@contextmanager
def open_video(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file and the video stream that ffmpeg calls best, for decoding in one thread.

    Only files that are containers of videos themselves are opened, whatever their names say: a text file that lists
    other files (FFmpeg's concat, HLS) would play those.

    Errors of the decoder inside the block, too, are raised as VideoError.

    Raises:
        VideoError: the file is missing, empty, unreadable, no video, or damaged.
    """
    try:
        if is_text(first_bytes(path, TEXT_BYTES)):
            raise VideoError("damaged or not a video: a text file")
        # Windows are decoded in parallel by processes; threads on top would cost more than they give.
        with av.open(f"file:{path}", metadata_errors="replace", options=_ONLY_CONTAINERS) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise VideoError("no video stream")
            if stream.disposition & Disposition.attached_pic:
                raise VideoError("no video stream, only a cover picture")
            if stream.codec_context is None:
                raise VideoError("no decoder for its video codec")
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            yield container, stream
    except OSError as error:  # PyAV's own errors for missing files and rights among them
        raise VideoError((error.strerror or str(error)).lower()) from error
    except av.ArgumentError as error:
        raise VideoError("damaged or not a video: it begins like no container of videos") from error
    except av.FFmpegError as error:
        raise VideoError(f"damaged or not a video: {error.strerror}") from error


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


def mark_regular(container: OutputContainer, distance: int) -> None:
    """Notes in a file that every `distance` frames a key frame stands alone, and that frames follow in their order."""
    container.metadata["comment"] = f"{_REGULAR}{distance}"


def regular_seek_point(container: InputContainer, stream: VideoStream, number: int) -> SeekPoint | None:
    """The last key frame up to frame `number` of a file that `mark_regular` has marked; None for other files."""
    mark = container.metadata.get("comment", "")
    # Programs that encode a file anew may copy the mark.
    if not re.fullmatch(_REGULAR + "[1-9][0-9]{0,3}", mark) or stream.codec_context.has_b_frames:
        return None
    key_frame = number - number % int(mark.removeprefix(_REGULAR))
    entries = stream.index_entries
    if key_frame == 0 or key_frame >= len(entries) or not entries[key_frame].is_keyframe:
        return None
    return SeekPoint(key_frame, entries[key_frame].timestamp)


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
    height, width = covering(frame.height, frame.width, size if turns % 2 == 0 else size[::-1])
    rgb = reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
    rows = np.frombuffer(memoryview(rgb.planes[0]), np.uint8).reshape(height, rgb.planes[0].line_size)
    picture = rows[:, : 3 * width].reshape(height, width, 3)
    return cut_centre(np.rot90(picture, turns), size)


def fit_picture(
    picture: NDArray[np.uint8], size: tuple[int, int], reformatter: VideoReformatter, channels: str = "rgb24"
) -> NDArray[np.uint8]:
    """Fits, as `fit` does, an upright picture [H, W, 3] that another decoder gave; `channels`: "rgb24" or "bgr24"."""
    return fit(VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=channels), size, reformatter)
