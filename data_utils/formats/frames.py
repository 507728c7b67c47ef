"""Format `frames`: one JPEG per frame in a folder per video; any program can read it, no file system likes it.

Each file says in a comment which frame it is and what its bytes add up to: JPEG decoders take most damage for picture.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_utils.formats.asked_frames import each_once, require_frames, require_positions
from data_utils.formats.jpeg import decode, encode
from data_utils.video_files.decoding import VideoError
from runs.process.atomic import sync_folder

PART_SUFFIX = ".frames"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME, _DEEPEST = 60, 8
_START = b"\xff\xd8"
# A comment segment right behind the start of a JPEG: marker, length, which frame, its size, check sum of all else.
_COMMENT = struct.Struct(">2sH8sqIII")
_MARKER, _MARK = b"\xff\xfe", b"hvtframe"


def write_part(part: Path, frames: Iterable[NDArray[np.uint8]], fps: object) -> None:  # noqa: ARG001
    """Writes a video as a folder that appears when it is complete; holds one frame at a time.

    Args:
        part: the folder to make.
        frames: [H, W, 3] each, RGB, all of one size.
        fps: frames per second; the catalog knows it, the folder does not.

    Raises:
        VideoError: there are no frames.
        ValueError: the frames differ in size.
        OSError: the part cannot be written; nothing is left of it.
    """
    temporary = part.with_name(f".{part.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    shape = None
    try:
        for number, frame in enumerate(frames):
            shape = shape or frame.shape
            if frame.shape != shape:
                raise ValueError(f"a frame of {frame.shape} among frames of {shape}")
            (temporary / frame_file(number)).write_bytes(_with_comment(encode(frame), number, frame.shape[:2]))
        if shape is None:
            raise VideoError("no frames")
        temporary.rename(part)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def finish(parts: Sequence[tuple[str, Path]], out: Path, number: int) -> list[str]:  # noqa: ARG001
    """Moves the folders to their places; may be repeated after it was interrupted anywhere.

    Args:
        parts: path and part of each video.
        out: folder of the prepared dataset.
        number: of the chunk; of no consequence here.

    Returns:
        Each video's folder, relative to `out`.

    Raises:
        OSError: a part is missing, or cannot be moved; the parts that are left are still there.
    """
    if any(part.exists() for _, part in parts):
        os.sync()  # the system's only way to force thousands of small files to the disk at once
    places = [f"frames/{folder_name(path)}" for path, _ in parts]
    for (_, part), place in zip(parts, places, strict=True):
        target = out / place
        if part.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():  # of an earlier preparation
                shutil.rmtree(target)
            part.rename(target)
        elif not target.is_dir():
            raise FileNotFoundError(f"{part} is missing")
    for folder in {(out / place).parent for place in places}:
        sync_folder(folder)
    return places


def check(out: Path, stored: str) -> int:
    """Decodes every frame of a stored video and gives their number. Raises VideoError where one is damaged."""
    folder = out / stored
    frames = _last_frame(folder) + 1
    for index in range(frames):
        data, size = _frame(folder, index)
        _decoded(data, index, size, size)
    return frames


class FramesReader:
    """Frames of folders with one JPEG per frame; a place is the folder."""

    def read(self, path: str | Path, indices: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
        """See `FrameReader.read`."""
        require_positions(indices)

        def picture(index: int) -> NDArray[np.uint8]:
            try:
                data, stored = _frame(path, index)
            except _MissingFrameError:
                require_frames(indices, _last_frame(Path(path)) + 1)
                raise
            return _decoded(data, index, stored, size)

        return each_once(indices, size, picture)


class _MissingFrameError(VideoError):
    """There is no file for a frame."""


def folder_name(path: str) -> str:
    """A video's folder: plain ASCII, never outside of `frames`, and no other video's, whatever their spelling.

    Args:
        path: of the video; `class/a video.mp4` becomes `class/a_video-` and a hash of the whole path.
    """
    raw = path.encode("utf-8", "surrogateescape")
    *folders, name = path.split("/")
    plain = [_plain(folder) for folder in folders[-_DEEPEST:]]
    unique = hashlib.blake2b(raw, digest_size=8).hexdigest()
    return "/".join([*filter(None, plain), f"{_plain(Path(name).stem)}-{unique}".lstrip("-")])


def _plain(name: str) -> str:
    return _NOT_PLAIN.sub("_", name).strip("._")[:_LONGEST_NAME]


def frame_file(index: int) -> str:
    """The name of the file of a frame, in the folder of its video."""
    return f"{index:06d}.jpg"


def _last_frame(folder: Path) -> int:
    """The highest number in a folder. Raises VideoError where there is none."""
    try:
        numbers = [int(file.stem) for file in folder.iterdir() if re.fullmatch(r"\d{6,}\.jpg", file.name)]
    except OSError as error:
        raise VideoError(f"folder {folder.name}: {(error.strerror or str(error)).lower()}") from error
    if not numbers:
        raise VideoError("no frames in its folder")
    return max(numbers)


def _with_comment(jpeg: bytes, index: int, size: tuple[int, ...]) -> bytes:
    rest = jpeg[len(_START) :]
    comment = _COMMENT.pack(_MARKER, _COMMENT.size - len(_MARKER), _MARK, index, *size, _sum(index, size, rest))
    return _START + comment + rest


def _sum(index: int, size: Sequence[int], rest: bytes | memoryview) -> int:
    return zlib.crc32(rest, zlib.crc32(struct.pack(">qII", index, *size)))


def _frame(folder: str | Path, index: int) -> tuple[bytes, tuple[int, int]]:
    """A frame's file and its height and width.

    Raises:
        VideoError: it is not there, cannot be read, or is damaged.
    """
    name = frame_file(index)
    try:
        data = Path(folder, name).read_bytes()
    except FileNotFoundError as error:
        raise _MissingFrameError(f"damaged: {name} is missing") from error
    except OSError as error:
        raise VideoError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    begin = len(_START)
    if len(data) < begin + _COMMENT.size:
        raise VideoError(f"damaged: {name} ends too early")
    marker, _, mark, number, height, width, checksum = _COMMENT.unpack_from(data, begin)
    if (data[:begin], marker, mark) != (_START, _MARKER, _MARK):
        raise VideoError(f"damaged: {name} was not written by prepare.py")
    if number != index or checksum != _sum(number, (height, width), memoryview(data)[begin + _COMMENT.size :]):
        raise VideoError(f"damaged: {name} does not fit its check sum")
    return data, (height, width)


def _decoded(data: bytes, index: int, stored: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        return decode(data, stored, size)
    except VideoError as error:
        raise VideoError(f"damaged: {frame_file(index)} is {error}") from error
