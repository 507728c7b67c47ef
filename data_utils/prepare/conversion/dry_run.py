"""What preparing a dataset will take, from converting a sample of it: bytes, frames and time. Nothing is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from config.errors import InputError
from data_utils.prepare.conversion.engine import prepare
from data_utils.prepare.conversion.out_folder import unwritable
from data_utils.prepare.conversion.preparation import Preparation
from data_utils.prepare.conversion.results import bytes_text, shown
from data_utils.prepare.listing import Listing
from data_utils.video_files.progress import duration
from runs.process.seeds import numpy_generator

SAMPLED = 64
"""Videos of a sample, where nothing else is said."""


@dataclass(frozen=True)
class Estimate:
    """A sample, and what it says of all videos."""

    videos: int
    """Number of videos that are listed."""
    sampled: int
    good: int
    frames: int
    """Number of frames of the sample's good videos."""
    bytes: int
    seconds: float
    """Time that converting the sample took, with `workers` processes."""
    workers: int
    free: int
    """Bytes on the disk of the result."""
    bad: list[tuple[str, str]]
    """(path, reason) of what could not be read."""
    made: str
    """Format and size, for people."""

    def lines(self) -> list[str]:
        """For the terminal."""
        scale = self.videos / self.sampled
        needed, frames = self.bytes * scale, self.frames * scale
        lines = [
            f"dry run: {self.sampled} of {self.videos:,} videos converted ({self.made}), and removed again",
            f"  frames    about {frames:,.0f} ({self.frames / max(1, self.good):.1f} a video)",
            f"  bytes     about {bytes_text(needed)} ({bytes_text(self.bytes / max(1, self.frames))} a frame), "
            f"{bytes_text(self.free)} are free",
            f"  time      about {duration(self.seconds * scale)} with {self.workers} processes",
        ]
        if self.bad:
            share = len(self.bad) / self.sampled
            path, reason = self.bad[0]
            lines.append(f"  left out  {share:.1%} of the sample, such as {shown(path)}: {reason}")
        if needed > self.free:
            lines.append("  the disk of --out has no room for that")
        return lines


def estimate(listing: Listing, plan: Preparation, videos: int) -> Estimate:
    """Converts a sample of a dataset, the same one every time, and removes what became of it.

    Args:
        listing: of the whole dataset.
        plan: what is asked for.
        videos: of the sample, at most.

    Raises:
        InputError: nothing is converted as videos stay as they are, no video of the sample is good, or the folder of
            `out` cannot be written.
    """
    if not plan.convert:
        raise InputError("--dry-run: files that stay as they are take nothing; set --size or another --format")
    table = listing.table
    drawn = np.sort(numpy_generator(0, len(table)).permutation(len(table))[:videos])
    sample = replace(listing, table=table.iloc[drawn].assign(split="train"), absent=[], unused=[])
    with _folder_beside(plan.out) as folder:
        began = perf_counter()
        outcome = prepare(sample, replace(plan, out=folder / "sample", shard=(1, 1), verify=False))
        seconds = perf_counter() - began
        free = shutil.disk_usage(folder).free
        summary = outcome.summary
        assert summary is not None  # there is one shard only
    return Estimate(
        videos=len(table),
        sampled=len(drawn),
        good=summary.videos["train"],
        frames=summary.frames["train"],
        bytes=summary.bytes,
        seconds=seconds,
        workers=plan.workers,
        free=free,
        bad=[(path, reason) for _, path, reason in summary.bad],
        made=summary.made,
    )


@contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    """A temporary folder on the disk that the result will lie on."""
    there = out.absolute().parent
    while not there.is_dir():
        there = there.parent
    try:
        folder = tempfile.mkdtemp(prefix=".dry-run-", dir=there)
    except OSError as error:
        raise unwritable(there, error.strerror or str(error)) from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
