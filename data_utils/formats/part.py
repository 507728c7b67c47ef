"""One converted video in a file of its own, until the videos of its chunk are put together in a shard.

The encoded frames follow each other; what is needed to find and to check them comes last, so that a file that was not
written to its end is never taken for a shorter video.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_utils.video_files.decoding import VideoError
from runs.process.atomic import replaced_file

# frames, height, width, frame rate, check sum of the two tables, mark
_END = struct.Struct("<qqqdI8s")
_MARK = b"HVTPART1"
_COPIED_AT_ONCE = 1 << 22


Rate = float | Callable[[], float]
"""Frames per second, or what says it once all frames are through."""


@dataclass(frozen=True)
class Part:
    """The facts of a part, without its frames."""

    file: Path
    height: int
    width: int
    fps: float
    lengths: NDArray[np.int64]
    """Bytes of each frame."""
    crc32: NDArray[np.uint32]
    """Checksum of each frame's bytes."""

    @property
    def bytes(self) -> int:
        """Size of all frames."""
        return int(self.lengths.sum())

    def copy_into(self, target: BinaryIO) -> None:
        """Appends the bytes of all frames to `target`."""
        left = self.bytes
        with self.file.open("rb") as source:
            while left:
                piece = source.read(min(left, _COPIED_AT_ONCE))
                if not piece:
                    raise OSError(f"{self.file} ends too early")
                target.write(piece)
                left -= len(piece)


def write_part_file(
    part: Path, frames: Iterable[NDArray[np.uint8]], fps: Rate, encode: Callable[[NDArray[np.uint8]], bytes]
) -> None:
    """Encodes frames one by one and writes them as a part, atomically.

    Raises:
        VideoError: there are no frames.
        ValueError: the frames differ in size.
        OSError: the part cannot be written; nothing is left of it.
    """
    lengths, sums = [], []
    shape: tuple[int, ...] | None = None
    with replaced_file(part, durable=False) as file:  # it lives for minutes, and its end tells whether it is whole
        for frame in frames:
            shape = shape or frame.shape
            if frame.shape != shape:
                raise ValueError(f"a frame of {frame.shape} among frames of {shape}")
            data = encode(frame)
            file.write(data)
            lengths.append(len(data))
            sums.append(zlib.crc32(data))
        if shape is None:
            raise VideoError("no frames")
        tables = np.array(lengths, "<i8").tobytes() + np.array(sums, "<u4").tobytes()
        file.write(tables)
        rate = fps if isinstance(fps, (int, float)) else fps()
        file.write(_END.pack(len(lengths), *shape[:2], rate, zlib.crc32(tables), _MARK))


def read_part_file(part: Path) -> Part:
    """Reads the facts of a part.

    Raises:
        OSError: it is missing, or not what `write_part_file` leaves.
    """
    damaged = OSError(f"{part} is not part of a preparation, or damaged; remove it")
    with part.open("rb") as file:
        size = file.seek(0, 2)
        if size < _END.size:
            raise damaged
        file.seek(size - _END.size)
        count, height, width, fps, checksum, mark = _END.unpack(file.read())
        start = size - _END.size - 12 * count
        if mark != _MARK or count < 1 or start < 0:
            raise damaged
        file.seek(start)
        tables = file.read(12 * count)
    lengths, sums = np.frombuffer(tables, "<i8", count), np.frombuffer(tables, "<u4", count, 8 * count)
    if zlib.crc32(tables) != checksum or lengths.sum() != start:
        raise damaged
    return Part(part, height, width, fps, lengths, sums)
