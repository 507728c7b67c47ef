"""Format `packed`: the frames as JPEG, one after the other in shards; small, and fast to read at random.

A shard is an HDF5 file. `jpeg` [bytes] holds all frames; frame i of all is `jpeg[offsets[i] : offsets[i + 1]]` and has
the check sum `crc32[i]`. A video's frames are those from `first_frame` on, `frames` of them, of `height` x `width`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data_utils.formats.jpeg import decode, encode
from data_utils.formats.numbers_by_path import NumbersByPath
from data_utils.formats.part import Part, Rate, write_part_file
from data_utils.formats.shard_index import Arrays, Entries, ShardIndex
from data_utils.formats.shard_reader import OPEN_SHARDS, ShardFormat, ShardReader
from data_utils.formats.shard_writing import allocate, finish_shard

PART_SUFFIX = ".jpegs"
_KIND = "frames as JPEG"
_ARRAYS: Arrays = {"offsets": ("<i8", 1), "crc32": ("<u4", 0)}


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
    write_part_file(part, frames, fps, encode)


def finish(parts: Sequence[tuple[str, Path]], out: Path, number: int) -> list[str]:
    """Puts (path, part) of a chunk's videos together in a shard; see `finish_shard`."""
    return finish_shard(parts, out, number, _KIND, _ARRAYS, _lay_out)


def check(out: Path, stored: str) -> int:
    """Decodes every frame of a stored video and gives their number. Raises VideoError where one is damaged."""
    return PackedReader().check(out / stored)


class PackedReader(ShardReader):
    """Frames of shards; a place is `shards/00003.h5#17`: video 17 of that shard."""

    def __init__(self, open_shards: int = OPEN_SHARDS, paths: NumbersByPath | None = None) -> None:
        """See `ShardReader`."""
        super().__init__(ShardFormat(_KIND, _ARRAYS, _starts, decode), open_shards, paths)


def _lay_out(shard: h5py.File, parts: Sequence[Part]) -> list[int]:
    lengths = np.concatenate([part.lengths for part in parts])
    shard["offsets"] = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
    start = allocate(shard, "jpeg", (int(lengths.sum()),))
    sizes = np.array([part.bytes for part in parts])
    return list(start + np.cumsum(sizes) - sizes)


def _starts(shard: ShardIndex, video: int, entries: Entries) -> list[int]:
    offsets = entries["offsets"]
    return (shard.fact("position", video) - offsets[0] + offsets).tolist()  # type: ignore[no-any-return]
