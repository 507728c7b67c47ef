"""Format `hdf5`: the frames as they are, in shards; nothing is decoded, and they take ten times the space of JPEG.

A shard is an HDF5 file that any HDF5 program can read: `videos/17` is a contiguous dataset [T, H, W, 3] of bytes, RGB;
`path[17]` names it. `crc32` holds a check sum per frame, video after video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data_utils.formats.numbers_by_path import NumbersByPath
from data_utils.formats.part import Part, Rate, write_part_file
from data_utils.formats.shard_index import Arrays, Entries, ShardIndex
from data_utils.formats.shard_reader import OPEN_SHARDS, ShardFormat, ShardReader
from data_utils.formats.shard_writing import allocate, finish_shard
from data_utils.video_files.cover import cover

PART_SUFFIX = ".raw"
_KIND = "raw frames"
_ARRAYS: Arrays = {"crc32": ("<u4", 0)}


def write_part(part: Path, frames: Iterable[NDArray[np.uint8]], fps: Rate) -> None:
    """Writes a video, atomically; holds one frame at a time.

    Args:
        part: the file to write.
        frames: [H, W, 3] each, RGB, all of one size.
        fps: frames per second, or what says it once all frames are through.

    Raises:
        VideoError: there are no frames.
        OSError: the part cannot be written; nothing is left of it.
    """
    write_part_file(part, frames, fps, _encode)


def finish(parts: Sequence[tuple[str, Path]], out: Path, number: int) -> list[str]:
    """Puts (path, part) of a chunk's videos together in a shard; see `finish_shard`."""
    return finish_shard(parts, out, number, _KIND, _ARRAYS, _lay_out)


def check(out: Path, stored: str) -> int:
    """Decodes every frame of a stored video and gives their number. Raises VideoError where one is damaged."""
    return HDF5Reader().check(out / stored)


class HDF5Reader(ShardReader):
    """Frames of shards; a place is `shards/00003.h5#17`: video 17 of that shard."""

    def __init__(self, open_shards: int = OPEN_SHARDS, paths: NumbersByPath | None = None) -> None:
        """See `ShardReader`."""
        super().__init__(ShardFormat(_KIND, _ARRAYS, _starts, _decode), open_shards, paths)


def _encode(frame: NDArray[np.uint8]) -> bytes:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"no RGB frame: {frame.dtype} {frame.shape}")
    return frame.tobytes()


def _decode(data: bytes, stored: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    return cover(np.frombuffer(data, np.uint8).reshape(*stored, 3), size)


def _lay_out(shard: h5py.File, parts: Sequence[Part]) -> list[int]:
    shapes = [(len(part.lengths), part.height, part.width, 3) for part in parts]
    return [allocate(shard, f"videos/{number}", shape) for number, shape in enumerate(shapes)]


def _starts(shard: ShardIndex, video: int, entries: Entries) -> range:  # noqa: ARG001
    frames, height, width = (shard.fact(name, video) for name in ("frames", "height", "width"))
    start, length = shard.fact("position", video), height * width * 3
    return range(start, start + (frames + 1) * length, length)
