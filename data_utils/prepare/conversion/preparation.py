"""The options of `prepare.py` that hold for all datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_utils.catalog.dataset_card import Format
from data_utils.video_files.verify import PATIENCE


@dataclass(frozen=True)
class Preparation:
    """Describes what to make, and how."""

    raw: Path
    out: Path
    format: Format = "packed"
    size: int | None = 256
    """Shorter side of what is stored, pixels; smaller videos are not enlarged. None: as they are."""
    square: bool = False
    """Only the square in the middle of each frame."""
    convert: bool = True
    """False, with the format `video`: the files stay where and as they are, only catalogs are written."""
    workers: int = 1
    shard: tuple[int, int] = (1, 1)
    """(i, n): do every n-th chunk, the i-th of the first n among them."""
    verify: bool = False
    """Decode again what was stored (or files that stay as they are), completely."""
    retry_bad: bool = False
    """Convert chunks with bad videos again, although their files are as they were."""
    patience: float = PATIENCE
    folder_fps: float = 0.0
    """Frames per second of folders of frames, which cannot say it themselves; 0: not known."""
    command: tuple[str, ...] | None = None
    """See ChunkJob."""
