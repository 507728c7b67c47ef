"""From a listing of a download to a dataset that training reads; can be stopped, continued and shared by machines.

The videos, sorted by path, are cut into chunks. A worker converts a chunk's videos, puts them into their place and
writes the chunk's records; a start skips chunks with records. Whoever finds all of them there writes the catalogs.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import posixpath
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

import pandas as pd

from config.errors import InputError
from data_utils.prepare.conversion import catalogs
from data_utils.prepare.conversion.chunks import ChunkJob, check_chunk, cut, prepare_chunk, run_jobs, stamp
from data_utils.prepare.conversion.converter_pool import POOL
from data_utils.prepare.conversion.out_folder import (
    STATE,
    Record,
    chunk_file,
    claim,
    digest,
    read_records,
    remove_leftovers,
    unwritable,
)
from data_utils.prepare.conversion.preparation import Preparation
from data_utils.prepare.conversion.results import Results, Summary, shown
from data_utils.prepare.listing import Listing
from data_utils.video_files.frame_folders import is_image
from data_utils.video_files.progress import VideoProgress

_VERSION = 1  # of what a spec gives; a change makes unfinished folders stale
_PACKAGES = ("av", "h5py", "joblib", "numpy", "opencv-python-headless", "pandas", "pillow")

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """How far preparing has come."""

    chunks: int
    open_chunks: list[int] = field(default_factory=list)
    """Left to other shards. Without any, `summary` is there."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of stored videos that `verify` found wrong; their chunks are open again."""
    summary: Summary | None = None


def prepare(listing: Listing, plan: Preparation) -> Outcome:
    """Makes the dataset, as far as it is not there already.

    Raises:
        InputError: something that was asked for is impossible, `out` holds another dataset or cannot be written, or no
            video of the training split is good.
    """
    table = listing.table.sort_values("path", kind="stable", ignore_index=True)
    _refuse_impossible(listing, table, plan)
    plan = replace(plan, raw=plan.raw.absolute(), out=plan.out.absolute())
    spec = _spec(listing, table, plan)
    made_by = claim(plan.out, spec, _made_by())
    remove_leftovers(plan.out)
    POOL.start()
    try:
        if not plan.convert:
            return Outcome(0, summary=catalogs.of_files_as_they_are(listing, plan, made_by))
        return _Work(listing, table, plan, digest(spec), made_by).done()
    finally:
        POOL.stop()
        remove_leftovers(plan.out)


class _Work:
    """The chunks of one preparation."""

    def __init__(
        self, listing: Listing, table: pd.DataFrame, plan: Preparation, spec: str, made_by: dict[str, Any]
    ) -> None:
        self._listing, self._plan, self._spec, self._made_by = listing, plan, spec, made_by
        paths = table["path"].tolist()
        self._chunks = cut(paths)
        self._paths = paths
        self._results = Results(table)
        index, count = plan.shard
        self._own = [number for number in range(len(self._chunks)) if number % count == index - 1]
        self._open = set(range(len(self._chunks)))
        self._stale: set[int] = set()

    def done(self) -> Outcome:
        """Converts this shard's open chunks, checks them, and writes the catalogs where no chunk is open."""
        self._take_done(self._own)
        todo = [number for number in self._own if number in self._open]
        self._convert(todo)
        failures = self._check() if self._plan.verify else []
        self._take_done(sorted(self._open.difference(self._own)))
        outcome = Outcome(len(self._chunks), sorted(self._open), failures)
        if not self._open and not failures:
            shutil.rmtree(self._plan.out / STATE / "parts", ignore_errors=True)
            outcome.summary = catalogs.of_stored(self._listing, self._results, self._plan, self._made_by)
        return outcome

    def _take_done(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            records = read_records(self._plan.out, number, self._spec)
            if records is None:
                continue
            if self._is_stale(records):
                self._stale.add(number)
            else:
                self._take(number, records)

    def _take(self, number: int, records: list[Record]) -> None:
        self._results.add(self._chunks[number].start, records)
        self._open.discard(number)

    def _is_stale(self, records: list[Record]) -> bool:
        """Whether what was stored is gone, or bad files were repaired since."""
        places = {str(record["stored"]).partition("#")[0] for record in records if "stored" in record}
        if not all((self._plan.out / place).exists() for place in places):
            return True
        bad = [record for record in records if "reason" in record]
        if self._plan.retry_bad:
            return bool(bad)
        return any(stamp(self._plan.raw / record["path"]) != record["stamp"] for record in bad)

    def _convert(self, numbers: list[int]) -> None:
        total = sum(len(self._chunks[number]) for number in self._own)
        if not numbers:
            logger.info("all %d videos are converted already", total)
            return
        left = sum(len(self._chunks[number]) for number in numbers)
        if left < total:
            logger.info("%d of %d videos are converted already", total - left, total)
        jobs = ((number, self._job(number)) for number in numbers)
        with VideoProgress("converting", total, "video", total - left) as progress:
            bad = 0
            for number, records in run_jobs(_numbered_chunk, jobs, self._plan.workers):
                self._take(number, records)
                bad += sum("reason" in record for record in records)
                progress.add(len(records), f"{bad} bad" if bad else "")

    def _job(self, number: int) -> ChunkJob:
        plan = self._plan
        paths = tuple(self._paths[row] for row in self._chunks[number])
        again = number in self._stale
        common = (plan.raw, plan.out, self._spec, plan.format, plan.size, again, plan.patience, plan.command)
        return ChunkJob(number, paths, *common, folder_fps=plan.folder_fps, square=plan.square)

    def _check(self) -> list[tuple[str, str]]:
        """Reads this shard's chunks back; wrong ones are open again."""
        total = sum(len(self._chunks[number]) for number in self._own)
        stored = sum(self._results.number_stored(self._chunks[number]) for number in self._own)
        failures = []
        with VideoProgress("verifying", total, "video") as progress:
            for number, found in run_jobs(_checked_chunk, self._check_jobs(), self._plan.workers):
                failures += found
                if found:
                    self._forget(number)
                progress.add(len(self._chunks[number]), f"{len(failures)} wrong" if failures else "")
        if not failures:
            logger.info("verified: all %d stored videos were read back, with as many frames as listed", stored)
        return sorted(failures)

    def _check_jobs(self) -> Iterator[tuple[int, ChunkJob, list[tuple[str, str, int]]]]:
        for number in self._own:
            yield number, self._job(number), self._results.stored(self._chunks[number])

    def _forget(self, number: int) -> None:
        self._open.add(number)
        file = chunk_file(self._plan.out, number)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(file, error.strerror or str(error)) from error


def _numbered_chunk(number: int, job: ChunkJob) -> tuple[int, list[Record]]:
    return number, prepare_chunk(job)


def _checked_chunk(number: int, job: ChunkJob, stored: list[tuple[str, str, int]]) -> tuple[int, list[tuple[str, str]]]:
    return number, check_chunk(job, stored)


def _refuse_impossible(listing: Listing, table: pd.DataFrame, plan: Preparation) -> None:
    if table.empty:
        raise InputError(f"{plan.raw} holds none of the listed videos; set --raw")
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise InputError(f"{shown(twice.iloc[0])} is listed twice; keep one")
    for path in table["path"]:
        if not path.isascii() and any("\ud800" <= character <= "\udfff" for character in path):  # bytes, no UTF-8
            raise InputError(f"{path!a}: a file name must be UTF-8; rename it")
        if posixpath.isabs(path) or posixpath.normpath(path) != path or path.split("/")[0] == "..":
            raise InputError(f"{shown(path)} is not a plain path inside {plan.raw}; list it as one")
        if plan.format == "video" and is_image(path):
            raise InputError(
                f"{shown(path)} is an image, and format video is for videos: choose packed, frames or hdf5"
            )
        if plan.format == "video" and not (plan.convert and plan.folder_fps) and path in listing.folders:
            raise InputError(
                f"{shown(path)} is a folder of frames; choose the format packed, frames or hdf5, or make videos of "
                "such folders with --fps and --size"
            )
    if not plan.convert and plan.shard[1] > 1:
        raise InputError("--shard has nothing to share out where files stay as they are; leave it out, or set --size")
    raw, out = plan.raw.resolve(), plan.out.resolve()
    if plan.convert and (out == raw or raw in out.parents):
        raise InputError(f"--out {plan.out} lies inside --raw {plan.raw}; choose a folder beside it")


def _spec(listing: Listing, table: pd.DataFrame, plan: Preparation) -> dict[str, Any]:
    """Everything that decides the result, except for the contents of the files."""
    rows = table.to_csv(index=False, lineterminator="\n").encode()
    counts = table["split"].value_counts().to_dict()
    return {
        "version": _VERSION,
        "dataset": listing.name,
        "format": plan.format if plan.convert else "video (files as they are)",
        "size": plan.size if plan.convert else None,
        "flip": listing.flip,
        **({"fps": plan.folder_fps} if plan.folder_fps else {}),
        **({"square": True} if plan.square else {}),
        "videos": {str(split): int(count) for split, count in sorted(counts.items())},
        "listing": hashlib.sha256(rows).hexdigest()[:16],
    }


def _made_by() -> dict[str, Any]:
    versions: dict[str, Any] = {"preparation": _VERSION, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions}
