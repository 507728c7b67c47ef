"""The unit of preparing: some videos that one worker converts one by one and puts into their place together."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, delayed

from config.errors import InputError
from data_utils.catalog.dataset_card import Format
from data_utils.prepare.conversion.chunk_lock import chunk_lock
from data_utils.prepare.conversion.converter import remove
from data_utils.prepare.conversion.converter_pool import COMMAND, POOL
from data_utils.prepare.conversion.out_folder import Record, parts_folder, read_records, unwritable, write_records
from data_utils.prepare.conversion.results import shown
from data_utils.prepare.early_end import expect_early_end
from data_utils.video_files.frame_folders import is_image
from data_utils.video_files.helper_process import HelperError, HelperProcess
from data_utils.video_files.verify import PATIENCE

_VIDEOS, _IMAGES = 64, 4096  # in a chunk, at most
_CHUNKS = 64  # that a small dataset is cut into, to keep many cores busy

Result = TypeVar("Result")


@dataclass(frozen=True)
class ChunkJob:
    """The job of a worker; it can be pickled and sent to another machine that sees the same folders."""

    number: int
    paths: tuple[str, ...]
    """Relative to `raw`."""
    raw: Path
    out: Path
    spec: str
    """Name of what is being made."""
    format: Format
    size: int | None
    """Shorter side; None: as it is."""
    again: bool = False
    """Although there are records: a bad file was repaired."""
    patience: float = PATIENCE
    """Seconds without progress after which a decoder counts as hanging and is killed."""
    command: tuple[str, ...] | None = None
    """Starts a process that speaks like `converter.py`; None: that, by the worker's own Python."""
    folder_fps: float = 0.0
    """Frames per second of folders of frames; 0: not known."""
    square: bool = False
    """Only the square in the middle of each frame."""


def cut(paths: Sequence[str]) -> list[range]:
    """Chunks of the sorted paths, as ranges of their positions: a function of the paths alone, not of the workers."""
    largest = _IMAGES if paths and all(map(is_image, paths)) else _VIDEOS
    size = min(largest, max(1, -(-len(paths) // _CHUNKS)))
    return [range(start, min(start + size, len(paths))) for start in range(0, len(paths), size)]


def prepare_chunk(job: ChunkJob) -> list[Record]:
    """Converts the videos of a chunk, puts them into their place, and keeps what became of each.

    Returns:
        For each path in order: `path`, `frames`, `height`, `width`, `fps`, `bytes`, `sums` (of PixelSums) and
        `stored`, or `path`, `reason` and `stamp` where it is bad.

    Raises:
        InputError: `out` cannot be written, or the memory does not suffice.
        ClosedError: preparing was stopped.
    """
    folder = parts_folder(job.out, job.number)
    try:
        with chunk_lock(folder.parent / f"{job.number:05d}.lock", POOL.check_stopped) as waited:
            known = waited or not job.again
            done = read_records(job.out, job.number, job.spec) if known else None  # another one may have been faster
            if done is not None:
                return done
            try:
                return _prepare_chunk(job, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise unwritable(job.out, error.strerror or str(error)) from error


def _prepare_chunk(job: ChunkJob, folder: Path) -> list[Record]:
    suffix = import_module(f"data_utils.formats.{job.format}").PART_SUFFIX
    with POOL.lend(job.patience, job.command or COMMAND) as converter:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        parts = [folder / f"{index:05d}{suffix}" for index in range(len(job.paths))]
        records = [_convert(converter, job, path, part) for path, part in zip(job.paths, parts, strict=True)]
        good = [index for index, record in enumerate(records) if "reason" not in record]
        stored = _finish(converter, job, [(job.paths[index], parts[index]) for index in good])
    for index, place in zip(good, stored, strict=True):
        records[index]["stored"] = place
    write_records(job.out, job.number, job.spec, records)
    return records


def _convert(converter: HelperProcess, job: ChunkJob, path: str, part: Path) -> Record:
    source = job.raw / path
    before = stamp(source)
    request: dict[str, object] = {
        "source": os.fspath(source),
        "part": os.fspath(part),
        "format": job.format,
        "size": job.size,
    }
    request |= {"folder_fps": job.folder_fps, "square": job.square}
    answer = _ask(converter, job, path, {"do": "convert", **request})
    if "reason" in answer:
        remove(part)
        return {"path": path, "reason": answer["reason"], "stamp": before}
    return {"path": path, **answer}


def _finish(converter: HelperProcess, job: ChunkJob, parts: Sequence[tuple[str, Path]]) -> list[str]:
    if not parts:
        return []
    request = {"format": job.format, "parts": [(path, os.fspath(part)) for path, part in parts], "out": str(job.out)}
    answer = _ask(converter, job, parts[0][0], {"do": "finish", "number": job.number, **request})
    if "reason" in answer:  # it decodes nothing, so it is not the videos' fault
        raise RuntimeError(f"chunk {job.number} cannot be put into its place: {answer['reason']}")
    return list(answer["stored"])


def _ask(converter: HelperProcess, job: ChunkJob, path: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer; `reason` where the video is at fault. Raises what the machine or this program is at fault for."""
    try:
        answer = converter.ask(request)
    except HelperError as error:
        # SIGKILL, not by us, is the system's way to get memory back.
        answer = {"memory": True} if error.status == -signal.SIGKILL else {"reason": str(error)}
    if "memory" in answer:
        raise InputError(
            f"{shown(path)}: the memory does not suffice to convert it; use fewer --workers; the same command goes on "
            "where it ended"
        )
    if "error" in answer:
        raise unwritable(job.out, answer["error"])
    return answer


def stamp(path: Path) -> list[int]:
    """Size and time of change: what tells whether a bad file was repaired since. Zeros where it cannot be asked."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def check_chunk(job: ChunkJob, stored: Sequence[tuple[str, str, int]]) -> list[tuple[str, str]]:
    """Reads stored videos back, completely.

    Args:
        job: of their chunk.
        stored: (path, stored, frames) of each.

    Returns:
        (path, reason) of those that are not as they should be.
    """
    failures = []
    with POOL.lend(job.patience, job.command or COMMAND) as converter:
        for path, place, frames in stored:
            request = {"do": "check", "format": job.format, "root": str(job.out), "stored": place}
            answer = _ask(converter, job, path, request)
            if "reason" in answer:
                failures.append((path, str(answer["reason"])))
            elif answer["frames"] != frames:
                failures.append((path, f"{answer['frames']} of {frames} frames are stored"))
    return failures


def sample_chunk(job: ChunkJob) -> list[dict[str, Any] | str]:
    """`sums` of a few frames of each video and `facts` of its header, or the reason why there are none."""
    with POOL.lend(job.patience, job.command or COMMAND) as converter:
        answers = [
            _ask(converter, job, path, {"do": "sample", "source": os.fspath(job.raw / path)}) for path in job.paths
        ]
    return [answer.get("reason", answer) for answer in answers]


def run_jobs(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int
) -> Generator[Result, None, None]:
    """The results of `function(*job)` for all jobs, in the order of completion.

    Threads call it, for converting happens in processes of their own; within a `joblib.parallel_config(backend=...)`
    that backend's workers do, so it must be possible to pickle function and jobs.
    """
    expect_early_end()
    calls = (delayed(function)(*job) for job in jobs)
    settings = {"n_jobs": workers, "batch_size": 1, "prefer": "threads"}
    try:
        parallel = Parallel(return_as="generator_unordered", **settings)
    except ValueError:  # ray's and multiprocessing's backends give nothing before all is done
        parallel = Parallel(return_as="list", **settings)
    yield from parallel(calls)
