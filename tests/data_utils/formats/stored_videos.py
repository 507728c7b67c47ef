"""Small stored datasets in the three formats that `prepare.py` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from data_utils.batches.frame_reader import FrameReader
from data_utils.formats import frames, hdf5, packed
from tests.data_utils.conftest import numbered_frame

FORMATS: dict[str, ModuleType] = {"packed": packed, "frames": frames, "hdf5": hdf5}
VIDEOS: dict[str, tuple[int, int, int]] = {
    "wide/a.mp4": (9, 32, 48),
    "tall/b.mp4": (7, 60, 40),
    "odd/c.mp4": (5, 37, 51),
    "image.jpg": (1, 24, 24),
}
"""Frames, height and width."""


def reader_of(format: str) -> FrameReader:
    """A new reader."""
    readers = {"packed": packed.PackedReader, "frames": frames.FramesReader, "hdf5": hdf5.HDF5Reader}
    return readers[format]()  # type: ignore[no-any-return]


def pictures(video: int, count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Frames that show 100 times the number of their video, plus their own."""
    return [numbered_frame(100 * video + number, height, width) for number in range(count)]


def parts_of(
    format: str, out: Path, videos: Mapping[str, tuple[int, int, int]] = VIDEOS, first: int = 0
) -> list[tuple[str, Path]]:
    """Writes the parts of videos."""
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, (path, shape) in enumerate(videos.items(), first):
        part = out / f"{number}{FORMATS[format].PART_SUFFIX}"
        FORMATS[format].write_part(part, iter(pictures(number, *shape)), 25.0)
        parts.append((path, part))
    return parts


def store(format: str, out: Path, videos: Mapping[str, tuple[int, int, int]] = VIDEOS, number: int = 0) -> list[str]:
    """Writes videos and gives where they are."""
    return FORMATS[format].finish(parts_of(format, out, videos), out, number)  # type: ignore[no-any-return]


def files_below(folder: Path) -> dict[str, bytes]:
    """The content of all files, hidden ones included, by path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
