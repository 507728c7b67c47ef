"""From a download to what training reads: `python prepare.py DATASET --raw DIR --out DIR`."""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import joblib

from config.errors import InputError
from data_utils.catalog.dataset_card import Format
from data_utils.prepare.conversion.dry_run import SAMPLED, estimate
from data_utils.prepare.conversion.engine import Outcome, prepare
from data_utils.prepare.conversion.preparation import Preparation
from data_utils.prepare.conversion.results import shown, unused_lines
from data_utils.prepare.unused import lists_among, unused_files
from runs.reporting.console import set_up_logging

DATASETS = {
    "ucf101": "UCF101 with its official lists, or an own split by group",
    "hmdb51": "HMDB51 with its official splits",
    "kinetics": "Kinetics-400, -600 or -700 with the CSV files of the crawlers",
    "ssv2": "Something-Something V2 with its JSON files",
    "imagenet": "folders of images, one per class",
    "folder": "videos in class/video.ext, or listed in a CSV",
    "lists": "videos listed in .npy pairs or in text lists of `path label`",
    "moving_digits": "the embedded data: handwritten digits that move",
}
DEFAULT_SIZE, ORIGINAL = 256, "original"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NAMED_FAILURES = 20
_DASK_SECONDS = 30

logger = logging.getLogger(__name__)


class Stopped(BaseException):
    """A signal asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares one dataset.

    Returns:
        The exit status: 0; 1 where more than --max-bad was left out or --verify found something wrong; 2 for wrong
        input; 128 + the signal's number where one stopped it.
    """
    set_up_logging()
    try:
        options = _parser(sys.argv[1:] if arguments is None else arguments).parse_args(arguments)
        with _stopped_by_signals():
            return _generate(options) if _is_generated(options) else _prepare(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        name = signal.Signals(stop.number).name
        print(f"\n{name}: stopped; the same command goes on where it ended", file=sys.stderr)
        return 128 + stop.number


def _prepare(options: argparse.Namespace) -> int:
    plan = _plan(options)
    try:
        listing = import_module(f"data_utils.prepare.{options.dataset}").list_videos(options)
    except OSError as error:
        raise InputError(f"{error.filename or options.raw} cannot be read: {error.strerror or error}") from error
    listing = replace(listing, unused=unused_files(options.raw, options.out, listing, lists_among(options)))
    for note in listing.notes:
        logger.info("note: %s", note)
    logger.info("%d videos in %s", len(listing.table), options.raw)
    for line in unused_lines(listing.unused):
        logger.info("%s", line)
    with _workers(options.dask):
        if options.dry_run:
            print("\n".join(estimate(listing, plan, options.dry_run).lines()))
            return 0
        outcome = prepare(listing, plan)
    return _tell(outcome, options)


def _tell(outcome: Outcome, options: argparse.Namespace) -> int:
    """Prints how it went. Returns the exit status."""
    status = 0
    if outcome.failures:
        print(f"{len(outcome.failures)} stored videos are not as they should be:", file=sys.stderr)
        for path, reason in outcome.failures[:_NAMED_FAILURES]:
            print(f"  {shown(path)}: {reason}", file=sys.stderr)
        if len(outcome.failures) > _NAMED_FAILURES:
            print(f"  and {len(outcome.failures) - _NAMED_FAILURES} others", file=sys.stderr)
        print("the same command converts them anew", file=sys.stderr)
        return 1
    if outcome.summary is None:
        done = outcome.chunks - len(outcome.open_chunks)
        index, count = options.shard
        print(
            f"shard {index}/{count} is done; {done} of {outcome.chunks} chunks are, the others are left to the other "
            "shards; the last one writes the catalogs (the same command without --shard does all that is left)"
        )
        return 0
    print("\n".join(outcome.summary.lines()))
    if outcome.summary.bad_share > options.max_bad:
        share, limit = f"{outcome.summary.bad_share:.2%}", f"{options.max_bad:.2%}"
        print(f"error: {share} of the listed videos were left out, --max-bad allows {limit}", file=sys.stderr)
        status = 1
    return status


def _is_generated(options: argparse.Namespace) -> bool:
    """Whether the generator's files are all that is asked for."""
    return (
        options.dataset == "moving_digits" and options.format == "video" and options.size is None and not options.square
    )


def _generate(options: argparse.Namespace) -> int:
    if options.raw is not None:
        raise InputError("moving_digits makes its videos in --out; leave --raw out, or convert them with --format")
    from data_utils.prepare import moving_digits  # its generator's imports take seconds

    videos, seed, difficulty = moving_digits.asked_for(options)
    moving_digits.prepare(options.out, videos, seed, difficulty)
    for name, count in videos.items():
        print(f"{name}: {count} videos -> {options.out / name}.csv")
    return 0


def _plan(options: argparse.Namespace) -> Preparation:
    if options.raw is None:
        raise InputError("--raw is missing: the folder for the generated videos, which are converted into --out")
    as_they_are = options.format == "video" and options.size is None and not options.square
    size = DEFAULT_SIZE if options.size is None else options.size
    return Preparation(
        raw=options.raw,
        out=options.out,
        format=options.format,
        size=None if size == ORIGINAL else size,
        square=options.square,
        convert=not as_they_are,
        workers=options.workers,
        shard=options.shard,
        verify=options.verify,
        retry_bad=options.retry_bad,
        folder_fps=getattr(options, "fps", 0.0),
    )


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Knows the options of those datasets that the arguments may name: importing all would take seconds."""
    parser = argparse.ArgumentParser(prog="prepare.py", description=__doc__)
    datasets = parser.add_subparsers(required=True, metavar="DATASET", dest="dataset")
    for name, text in DATASETS.items():
        own = datasets.add_parser(name, help=text, description=text)
        if name in arguments:
            module = import_module(f"data_utils.prepare.{name}")
            module.add_arguments(own.add_argument_group("the download"))
        _add_common(own, generated=name == "moving_digits")
    return parser


def _add_common(parser: argparse.ArgumentParser, generated: bool) -> None:
    """The options of every dataset."""
    parser.add_argument("--raw", type=Path, required=not generated, help="folder of the download; is only read")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument(
        "--format",
        choices=get_args(Format),
        default="video" if generated else "packed",
        help="how frames are stored (default: %(default)s); video without --size leaves the files as they are",
    )
    parser.add_argument(
        "--size",
        type=_size,
        help=f"shorter side of the frames, pixels; smaller ones are not enlarged; `{ORIGINAL}` keeps all as they are "
        f"(default: {DEFAULT_SIZE})",
    )
    parser.add_argument("--square", action="store_true", help="store only the square in the middle of each frame")
    parser.add_argument(
        "--dry-run",
        nargs="?",
        type=_videos,
        const=SAMPLED,
        metavar="VIDEOS",
        help="convert a sample of so many videos (%(const)s), say what all will take in bytes, frames and time, and "
        "keep nothing",
    )
    parser.add_argument("--workers", type=_workers_number, default=joblib.cpu_count(), help="processes (all cores)")
    parser.add_argument(
        "--shard", type=_shard, default=(1, 1), metavar="I/N", help="do the I-th of N parts, for array jobs"
    )
    parser.add_argument("--verify", action="store_true", help="read all that was stored back, completely")
    parser.add_argument("--retry-bad", action="store_true", help="try videos again that were bad, files as they were")
    parser.add_argument(
        "--max-bad", type=_share, default=0.01, metavar="SHARE", help="of videos left out; more: exit status 1 (0.01)"
    )
    parser.add_argument("--dask", metavar="ADDRESS", help="scheduler of a dask cluster that sees the same folders")


def _size(text: str) -> int | str:
    if text in (ORIGINAL, "0"):
        return ORIGINAL
    if not text.isdecimal():
        raise InputError(f"--size {text} is not a number of pixels; give one, such as {DEFAULT_SIZE}, or {ORIGINAL}")
    return int(text)


def _workers_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--workers {text}: at least 1 process must convert; leave it out to use all cores")
    return int(text)


def _videos(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--dry-run {text}: give a number of videos, such as {SAMPLED}, or none")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--shard {text}: expected I/N with 1 <= I <= N, for example 3/8")
    return int(match[1]), int(match[2])


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"--max-bad {text} is not a share; give a number from 0 to 1, such as 0.01")
    return share


@contextmanager
def _workers(address: str | None) -> Iterator[None]:
    """Within the block joblib's jobs run on the dask cluster; without an address, here."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--dask needs the package distributed; install it, or leave --dask out") from None
    try:
        client = Client(address, timeout=_DASK_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"--dask {address}: no scheduler answers there ({error})") from error
    with client, joblib.parallel_config(backend="dask"):
        yield


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped in the block, once: what ends is not disturbed again."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    previous: dict[int, Any] = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
