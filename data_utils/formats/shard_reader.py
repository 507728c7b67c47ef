"""Frames of shards, whatever they are encoded as.

A reader that opened its shard for every window would spend more time on that than on small frames.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_utils.formats.asked_frames import each_once, require_frames, require_positions
from data_utils.formats.numbers_by_path import NumbersByPath
from data_utils.formats.shard_index import Arrays, Entries, ShardIndex, open_index
from data_utils.video_files.decoding import VideoError

# An open shard costs a file descriptor and some 50 bytes per video; opening one, half a millisecond.
OPEN_SHARDS = 128


@dataclass(frozen=True)
class ShardFormat:
    """The facts of a format that a reader needs."""

    kind: str
    """The format that a shard says it holds."""
    arrays: Arrays
    """Its arrays with one entry per frame; `crc32` is among them."""
    starts: Callable[[ShardIndex, int, Entries], Sequence[int]]
    """Where each frame of a video begins in the file, and where the last one ends; gets its part of the arrays."""
    decode: Callable[[bytes, tuple[int, int], tuple[int, int]], NDArray[np.uint8]]
    """A frame's bytes, and its stored size, to the picture that covers a size, cut to its centre."""


class ShardReader:
    """Frames of shards; a place is `shards/00003.h5#17`: video 17 of that shard.

    The shards that were read last stay open; a copy for another process begins with none.
    """

    def __init__(self, format: ShardFormat, open_shards: int, paths: NumbersByPath | None) -> None:
        """Opens nothing yet.

        Args:
            format: of the shards.
            open_shards: so many stay open.
            paths: `hashes_of` the videos' own paths by place: whether a shard holds the video that is wanted; None:
                nobody asks.
        """
        self._format, self._limit, self._paths = format, open_shards, paths
        self._shards: OrderedDict[str, ShardIndex] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        """File descriptors stay in their process."""
        return self.__dict__ | {"_shards": OrderedDict()}

    def read(self, path: str | Path, indices: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
        """See `FrameReader.read`."""
        require_positions(indices)
        video = self._video(path)
        require_frames(indices, video.frames)
        video.announce(indices)
        return each_once(indices, size, lambda index: video.picture(index, size))

    def check(self, path: str | Path) -> int:
        """Decodes every frame of a video.

        Returns:
            How many there are.

        Raises:
            VideoError: one is damaged.
        """
        video = self._video(path)
        for index in range(video.frames):
            video.picture(index, video.size)
        return video.frames

    def _video(self, path: str | Path) -> _Video:
        file, _, number = str(path).rpartition("#")
        if not file or not (number.isascii() and number.isdigit()):
            raise VideoError(f"'{Path(path).name}' is not a shard and number such as 00003.h5#17")
        shard = self._shards.get(file)
        if shard is None:
            shard = self._shards[file] = open_index(file, self._format.kind, self._format.arrays)
            if len(self._shards) > self._limit:
                self._shards.popitem(last=False)
        else:
            self._shards.move_to_end(file)
        video = _Video(self._format, shard, int(number))
        wanted = self._paths.of(str(path)) if self._paths else None
        if wanted is not None and shard.paths[int(number)] != wanted:
            raise VideoError(f"{Path(path).name} is another video; CSV files and shards are not of one preparation")
        return video


class _Video:
    """One video of a shard."""

    def __init__(self, format: ShardFormat, shard: ShardIndex, number: int) -> None:
        self.frames = shard.fact("frames", number)
        self.size = shard.fact("height", number), shard.fact("width", number)
        self._file, self._decode = shard.file, format.decode
        entries = shard.entries(number)
        self._starts = format.starts(shard, number, entries)
        self._sums = entries["crc32"].tolist()

    def announce(self, indices: NDArray[np.int64]) -> None:
        """Tells the system which frames are read next."""
        for index in indices.tolist():
            self._file.announce(self._starts[index], self._starts[index + 1] - self._starts[index])

    def picture(self, index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """A frame [H, W, 3], scaled to cover `size` and cut to its centre."""
        data = self._file.read(self._starts[index], self._starts[index + 1] - self._starts[index])
        if zlib.crc32(data) != self._sums[index]:
            raise VideoError(f"damaged: frame {index} does not fit its check sum")
        try:
            return self._decode(data, self.size, size)
        except VideoError as error:
            raise VideoError(f"damaged: frame {index} is {error}") from error
