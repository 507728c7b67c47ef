"""Reading of shards: HDF5 files that hold the videos of one chunk, read without HDF5.

HDF5's own reading takes a lock and five times as long as the system's file cache. So every large array is contiguous,
and frames are read with `pread`, which shares no position with other processes. All that is read is checked against
a CRC-32, the index too: a file that is cut off, mixed up or damaged is an error, never other frames.
"""

from __future__ import annotations

import os
import weakref
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from data_utils.formats.numbers_by_path import hashes_of
from data_utils.video_files.decoding import VideoError

VERSION = 1
TABLES = ("frames", "height", "width", "first_frame", "position", "checksum")
"""What has one entry per video: its size, its first entry in arrays with one entry per frame, the place of its first
byte in the file, and the check sum of its entries in those arrays."""
Arrays = Mapping[str, tuple[str, int]]
"""Arrays with one entry per frame: type, and how many more entries a video needs than it has frames; in the order in
which they are checked."""
Entries = Mapping[str, NDArray[Any]]
"""A video's part of the arrays, by name."""


class RawFile:
    """A file's bytes by position; closed when nobody holds it any more."""

    def __init__(self, path: str) -> None:
        """Raises VideoError where it cannot be opened."""
        self._name = Path(path).name
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise VideoError(f"shard {self._name}: {(error.strerror or str(error)).lower()}") from error
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, position: int, length: int) -> bytes:
        """Raises VideoError where there are fewer bytes."""
        try:
            data = os.pread(self._descriptor, length, position)
        except (OSError, OverflowError, ValueError) as error:
            raise VideoError(f"damaged shard: {self._name} cannot be read: {error}") from error
        if len(data) != length:
            raise VideoError(f"damaged shard: {self._name} ends too early")
        return data

    def announce(self, position: int, length: int) -> None:
        """Asks the system to fetch bytes that are read soon, so that a slow disk's delays do not add up."""
        if hasattr(os, "posix_fadvise"):  # macOS has none
            os.posix_fadvise(self._descriptor, position, length, os.POSIX_FADV_WILLNEED)


@dataclass(frozen=True)
class ShardIndex:
    """A shard that is open for reading."""

    file: RawFile
    tables: Mapping[str, NDArray[np.int64]]
    """TABLES, by name."""
    arrays: Arrays
    positions: Mapping[str, int]
    """Where in the file the arrays begin, by name."""
    paths: NDArray[np.int64]
    """`hashes_of` the paths of the videos."""

    def fact(self, table: str, video: int) -> int:
        """The video's entry in one of TABLES. Raises VideoError where there is no such video."""
        values = self.tables[table]
        if video >= len(values):
            raise VideoError(f"damaged shard: it holds {len(values)} videos, number {video} is wanted")
        return int(values[video])

    def entries(self, video: int) -> Entries:
        """The video's part of every array. Raises VideoError where they are damaged."""
        first, frames, checksum = self.fact("first_frame", video), self.fact("frames", video), 0
        found = {}
        for name, (kind, more) in self.arrays.items():
            width = np.dtype(kind).itemsize
            data = self.file.read(self.positions[name] + width * first, width * (frames + more))
            checksum = zlib.crc32(data, checksum)
            found[name] = np.frombuffer(data, kind)
        if checksum != self.fact("checksum", video):
            raise VideoError("damaged shard: the index of this video does not fit its check sum")
        return found


def open_index(path: str, kind: str, arrays: Arrays) -> ShardIndex:
    """Opens a shard.

    Args:
        path: of the file.
        kind: what it must hold.
        arrays: what is to be read of it.

    Raises:
        VideoError: the file is missing, damaged, or holds something else.
    """
    file, name = RawFile(path), Path(path).name
    try:
        with h5py.File(path, "r") as shard:
            if shard.attrs.get("content") != kind:
                raise VideoError(f"damaged shard: {name} does not hold {kind}")
            if shard.attrs["version"] != VERSION:
                raise VideoError(f"{name} was written by another version of prepare.py; prepare the dataset again")
            tables = {table: shard[table][()] for table in TABLES}
            expected = int(shard.attrs["tables_crc32"])
            positions = {array: shard[array].id.get_offset() for array in arrays}
            paths = np.array([path.decode("utf-8", "replace") for path in shard["path"][()]], object)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError) as error:
        reason = "is cut off" if "truncated" in str(error) else "is not a readable HDF5 file"
        raise VideoError(f"damaged shard: {name} {reason}") from error
    if tables_crc32(tables) != expected or None in positions.values():
        raise VideoError(f"damaged shard: the index of {name} does not fit its check sum")
    return ShardIndex(file, tables, arrays, positions, hashes_of(paths))


def tables_crc32(tables: Mapping[str, NDArray[np.int64]]) -> int:
    """Check sum of TABLES, in this order."""
    return zlib.crc32(b"".join(tables[name].tobytes() for name in TABLES))
