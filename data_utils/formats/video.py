"""Format `video`: files as they are, or re-encoded ones, decoded when they are read.

Re-encoded files are H.264 with a key frame every KEY_FRAMES frames and no B-frames, and say so, so that a window is
decoded from shortly before its start. They keep the frames' size to the pixel: odd sizes, which 4:2:0 cannot have,
become 4:4:4.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from data_utils.formats.asked_frames import require_positions
from data_utils.formats.frames import folder_name
from data_utils.formats.numbers_by_path import NumbersByPath
from data_utils.video_files.decoders.protocol import Decoder, Known
from data_utils.video_files.decoders.pyav import PyAVDecoder
from data_utils.video_files.decoding import SeekPoint, VideoError, mark_regular
from data_utils.video_files.inspection import CheckedVideo
from data_utils.video_files.picture_folders import folder_frames
from runs.process.atomic import sync_folder

PART_SUFFIX = ".mp4"
KEY_FRAMES = 12
"""Frames from one key frame to the next."""


class VideoReader:
    """Frames of video files, or of folders of pictures; a place is the file or the folder."""

    def __init__(
        self,
        seek_points: Mapping[str, Sequence[SeekPoint]] | None = None,
        decoder: Decoder | None = None,
        counts: NumbersByPath | None = None,
    ) -> None:
        """Opens nothing.

        Args:
            seek_points: by path, ascending, as verification found them; none: decode from the start.
            decoder: None: PyAV.
            counts: how many frames verification found in each file; decoders other than PyAV are held to it.
        """
        self._seek_points = seek_points or {}
        self._decoder = decoder or PyAVDecoder()
        self._counts = counts

    def read(self, path: str | Path, indices: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
        """See `FrameReader.read`."""
        require_positions(indices)
        numbers, places = np.unique(indices, return_inverse=True)
        if os.path.isdir(path):  # noqa: PTH112  a Path would take longer than the question
            return folder_frames(path, numbers.tolist(), size)[places]
        count = self._counts.of(str(path)) if self._counts else None
        known = Known(count, self._seek_points.get(str(path), ()))
        pictures = self._decoder.frames(path, numbers.tolist(), size, known)
        return pictures if len(numbers) == len(indices) and (np.diff(places) > 0).all() else pictures[places]


def write_part(part: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Encodes a video, atomically and with the same bytes every time; holds a few frames at a time.

    Args:
        part: the file to write.
        frames: [H, W, 3] each, RGB, all of one size.
        fps: frames per second.

    Raises:
        VideoError: there are no frames, or their rate is not known (0).
        ValueError: the frames differ in size.
        OSError: the part cannot be written; nothing is left of it.
    """
    if not fps > 0:
        raise VideoError("its frame rate is not known, and a video file needs one; choose another format")
    temporary = part.with_name(f".{part.name}.tmp")
    try:
        with _errors_of_the_disk(part), av.open(str(temporary), "w", "mp4", {"movflags": "faststart"}) as container:
            _encode(container, frames, Fraction(fps).limit_denominator(1001))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(part)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink()
        raise


def finish(parts: Sequence[tuple[str, Path]], out: Path, number: int) -> list[str]:  # noqa: ARG001
    """Moves the files to their places; may be repeated after it was interrupted anywhere.

    Args:
        parts: path and part of each video.
        out: folder of the prepared dataset.
        number: of the chunk; of no consequence here.

    Returns:
        Each video's file, relative to `out`.

    Raises:
        OSError: a part is missing, or cannot be moved; the parts that are left are still there.
    """
    places = [f"videos/{folder_name(path)}{PART_SUFFIX}" for path, _ in parts]
    for (_, part), place in zip(parts, places, strict=True):
        target = out / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.exists():
            part.replace(target)
        elif not target.is_file():
            raise FileNotFoundError(f"{part} is missing")
    for folder in {(out / place).parent for place in places}:
        sync_folder(folder)
    return places


def check(out: Path, stored: str) -> int:
    """Decodes every frame of a stored video and gives their number. Raises VideoError where one is damaged."""
    return sum(1 for _ in CheckedVideo(out / stored, seek_points=False).frames())


def _encode(container: av.container.OutputContainer, frames: Iterable[NDArray[np.uint8]], rate: Fraction) -> None:
    mark_regular(container, KEY_FRAMES)
    stream: av.VideoStream | None = None
    for frame in frames:
        if stream is None:
            stream = _add_stream(container, frame.shape, rate)
        if frame.shape != (stream.height, stream.width, 3):
            raise ValueError(f"a frame of {frame.shape} among frames of {stream.height} x {stream.width}")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
    if stream is None:
        raise VideoError("no frames")
    container.mux(stream.encode(None))


def _add_stream(container: av.container.OutputContainer, shape: tuple[int, ...], rate: Fraction) -> av.VideoStream:
    # One thread and no mbtree: see `moving_digits`. No cut of scenes: key frames come where they are expected.
    options = {"crf": "20", "preset": "fast", "threads": "1", "mbtree": "0", "sc_threshold": "0"}
    options |= {"g": str(KEY_FRAMES), "bf": "0"}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv444p" if shape[0] % 2 or shape[1] % 2 else "yuv420p"
    return stream


@contextmanager
def _errors_of_the_disk(part: Path) -> Iterator[None]:
    """FFmpeg's errors of writing as OSError."""
    try:
        yield
    except OSError:
        raise
    except av.FFmpegError as error:
        raise OSError(error.errno, f"{part} cannot be written: {error.strerror}") from error
