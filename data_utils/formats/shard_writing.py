"""Writing of shards: a million small files are slow to copy, to list and to open.

A shard is written in one go from the parts of its videos. HDF5 lays the file out; the frames are copied to their place
without it, piece by piece, so that a full disk is an ordinary error and memory does not grow with the shard.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from data_utils.formats.part import Part, read_part_file
from data_utils.formats.shard_index import VERSION, Arrays, tables_crc32
from runs.process.atomic import replaced_file

_TEXT = h5py.string_dtype("utf-8")

Layout = Callable[[h5py.File, Sequence[Part]], Sequence[int]]
"""Makes the datasets of a format; gives the place in the file of each video's first byte."""


def finish_shard(
    parts: Sequence[tuple[str, Path]], out: Path, number: int, kind: str, arrays: Arrays, lay_out: Layout
) -> list[str]:
    """Puts parts together in `out`/shards and removes them; may be repeated after it was interrupted anywhere.

    Args:
        parts: path and part of each video.
        out: folder of the prepared dataset.
        number: of the shard.
        kind: what the shard will hold.
        arrays: what it will have with one entry per frame.
        lay_out: makes the datasets with the frames, and `arrays` except `crc32`.

    Returns:
        Where the format's reader finds each video, relative to `out`.

    Raises:
        OSError: a part is missing or damaged, or the shard cannot be written; the parts are still there.
    """
    place = f"shards/{number:05d}.h5"
    file = out / place
    paths = [path for path, _ in parts]
    missing = [part for _, part in parts if not part.exists()]
    if parts and not missing:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, paths, [read_part_file(part) for _, part in parts], kind, arrays, lay_out)
    elif missing and _stored_paths(file) != paths:  # the same: it was interrupted while it removed the parts
        raise FileNotFoundError(f"{missing[0]} is missing")
    for _, part in parts:
        part.unlink(missing_ok=True)
    return [f"{place}#{video}" for video in range(len(parts))]


def allocate(shard: h5py.File, name: str, shape: tuple[int, ...]) -> int:
    """Makes a contiguous dataset of bytes, which are not written yet; gives its place in the file."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)  # the same videos give the same bytes
    group = shard.require_group(str(Path(name).parent)) if "/" in name else shard
    space = h5py.h5s.create_simple(shape)
    dataset = h5py.h5d.create(group.id, Path(name).name.encode(), h5py.h5t.STD_U8LE, space, settings)
    return int(dataset.get_offset())


def _write(file: Path, paths: Sequence[str], parts: Sequence[Part], kind: str, arrays: Arrays, lay_out: Layout) -> None:
    frames = np.array([len(part.lengths) for part in parts], "<i8")
    with replaced_file(file) as target:
        _require_room(target, sum(part.bytes for part in parts), _index_bytes(paths, parts))
        with _new_hdf5(target.name) as shard:
            shard.create_dataset("path", data=[path.encode("utf-8", "surrogateescape") for path in paths], dtype=_TEXT)
            shard["fps"] = np.array([part.fps for part in parts], "<f8")
            shard["crc32"] = np.concatenate([part.crc32 for part in parts])
            tables = {
                "frames": frames,
                "height": np.array([part.height for part in parts], "<i8"),
                "width": np.array([part.width for part in parts], "<i8"),
                "first_frame": np.cumsum(frames) - frames,
                "position": np.array(lay_out(shard, parts), "<i8"),
            }
            tables["checksum"] = _checksums(shard, arrays, tables["first_frame"], frames)
            for name, values in tables.items():
                shard[name] = values
            shard.attrs.update({"content": kind, "version": VERSION, "tables_crc32": tables_crc32(tables)})
        for part, position in zip(parts, tables["position"].tolist(), strict=True):
            target.seek(position)
            part.copy_into(target)


def _index_bytes(paths: Sequence[str], parts: Sequence[Part]) -> int:
    """The largest size of everything in a shard except its frames."""
    return 32_768 + sum(2048 + 8 * len(path) + 16 * len(part.lengths) for path, part in zip(paths, parts, strict=True))


def _require_room(target: BinaryIO, frames: int, index: int) -> None:
    """Raises OSError where so many bytes do not fit, before HDF5 meets that, which leaves open files and traces."""
    target.seek(frames)
    target.write(bytes(index))
    target.flush()
    os.fsync(target.fileno())


def _checksums(
    shard: h5py.File, arrays: Arrays, first: NDArray[np.int64], frames: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Checksums of each video's entries in the arrays, one array after the other."""
    values = [(shard[name][()].astype(kind), more) for name, (kind, more) in arrays.items()]
    sums = []
    for start, count in zip(first.tolist(), frames.tolist(), strict=True):
        sums.append(zlib.crc32(b"".join(array[start : start + count + more].tobytes() for array, more in values)))
    return np.array(sums, "<i8")


def _stored_paths(file: Path) -> list[str] | None:
    """The videos of a shard; None where there is none."""
    try:
        with h5py.File(file, "r") as shard:
            return [path.decode("utf-8", "surrogateescape") for path in shard["path"][()]]
    except (OSError, KeyError):
        return None


@contextmanager
def _new_hdf5(file: str) -> Iterator[h5py.File]:
    """A new HDF5 file in the place of `file`. Raises OSError where HDF5 has its own error for a disk's."""
    try:
        with h5py.File(file, "w") as shard:
            yield shard
    except RuntimeError as error:
        raise OSError(f"{file} cannot be written: {error}") from error
