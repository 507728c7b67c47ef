"""Features of large splits: hours of encoding that an interruption must not cost, and no old file may stand in for.

A store is arrays with as many rows as there are views, filled from the first on. In memory, or in an HDF5 file whose
name is a fingerprint of all that the numbers depend on; what a killed process has written is gone on from, and every
array's checksum is compared before a whole file is used.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from config.errors import InputError

Shapes = Mapping[str, tuple[tuple[int, ...], type[np.generic]]]
"""By name of an array: its shape and type."""

_BATCHES, _VIEWS, _WHOLE = range(3)  # the numbers of `progress`, which are set in one go
_CHUNK = 1 << 24

logger = logging.getLogger(__name__)


class ViewStore:
    """Arrays by name, all zeros at first. Use `in_memory`, `create` or `reopen`."""

    def __init__(self, path: Path | None, arrays: dict[str, NDArray[Any]], progress: NDArray[np.int64]) -> None:
        self.path, self.arrays, self._progress = path, arrays, progress

    @classmethod
    def in_memory(cls, shapes: Shapes) -> Self:
        """A store that goes with the process."""
        return cls(None, {name: np.zeros(shape, kind) for name, (shape, kind) in shapes.items()}, np.zeros(3, np.int64))

    @classmethod
    def create(cls, path: Path, fingerprint: str, shapes: Shapes) -> Self:
        """A store in a new file, whose room on the disk is taken at once.

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        import h5py

        own: Shapes = {"progress": ((3,), np.int64), "checksums": ((len(shapes),), np.int64)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file.attrs["fingerprint"] = fingerprint
                file.attrs["order"] = list(shapes)  # which HDF5 forgets
                for name, (shape, kind) in {**shapes, **own}.items():
                    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
                    file.create_dataset(name, shape, kind, dcpl=properties)
            # Written to through memory maps, in which a full disk would kill the process.
            with path.open("r+b") as raw:
                os.posix_fallocate(raw.fileno(), 0, path.stat().st_size)
            return cls._mapped(path)
        except OSError as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise InputError(
                f"cannot write {path}: {error.strerror or error}; free the disk, or raise features_memory_mb so that "
                "features stay in memory"
            ) from error

    @classmethod
    def reopen(cls, path: Path, fingerprint: str) -> Self | None:
        """The store that `create` made, whole or to be gone on with; None where there is none that can be used.

        A damaged file is deleted, and said.
        """
        if not path.exists():
            return None
        try:
            store = cls._mapped(path, fingerprint)
            if store.is_whole and store._sums() != store.arrays["checksums"].tolist():
                raise ValueError("a checksum does not fit")
        except Exception as error:  # a damaged file makes the library fail in many ways
            logger.warning("%s is damaged (%s): its features are made again", path, str(error).splitlines()[0])
            path.unlink(missing_ok=True)
            return None
        return store

    @classmethod
    def _mapped(cls, path: Path, fingerprint: str | None = None) -> Self:
        import h5py

        arrays: dict[str, NDArray[Any]] = {}
        with h5py.File(path, "r") as file:
            if fingerprint is not None and file.attrs["fingerprint"] != fingerprint:
                raise ValueError("it is of something else")
            for name in [*file.attrs["order"], "progress", "checksums"]:
                item = file[name]
                if item.size:
                    arrays[name] = np.memmap(path, item.dtype, "r+", item.id.get_offset(), item.shape)
                else:
                    arrays[name] = np.zeros(item.shape, item.dtype)
        return cls(path, arrays, arrays["progress"])

    @property
    def batches(self) -> int:
        """Batches whose views are there."""
        return int(self._progress[_BATCHES])

    @property
    def views(self) -> int:
        """Rows that are filled."""
        return int(self._progress[_VIEWS])

    @property
    def is_whole(self) -> bool:
        """Whether all views are there."""
        return bool(self._progress[_WHOLE])

    def commit(self, batches: int, views: int) -> None:
        """Says that so many rows, of so many batches, are filled: an interrupted extraction goes on behind them."""
        self._flush()
        self._progress[:] = (batches, views, 0)
        self._flush()

    def end(self, views: int) -> None:
        """Says that there are so many rows, and that no more will come."""
        if self.path is not None:
            self.arrays["checksums"][:] = self._sums()
        self._flush()
        self._progress[:] = (self.batches, views, 1)
        self._flush()

    def discard(self) -> None:
        """Deletes the file; the arrays can be used until the process ends."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        for array in self.arrays.values():
            if isinstance(array, np.memmap):
                array.flush()

    def _sums(self) -> list[int]:
        """A CRC-32 of each array."""
        sums = []
        for name in sorted(self.arrays.keys() - {"progress", "checksums"}):
            content, total = self.arrays[name].reshape(-1).view(np.uint8), 0
            for start in range(0, len(content), _CHUNK):
                total = zlib.crc32(content[start : start + _CHUNK].tobytes(), total)
            sums.append(total)
        return sums
