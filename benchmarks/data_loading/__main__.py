"""Frames per second from disk to a batch: our formats against the loading that repositories of this field use.

    python -m benchmarks.data_loading [--seconds 3] [--rounds 7] [--workers 2] [--videos 36]
    python -m benchmarks.data_loading --memory

Makes its videos in a temporary folder, which is removed at the end, prepares them in every format, and lets the
contenders take turns, round by round, so that whatever else the machine does hits all of them alike. Windows of 20
frames, 5 apart. The baselines hand over normalised float32, as they do it; ours hand over uint8, which the device
normalises. A second table has what each format costs. `--memory` instead: start-up with a catalog of a million rows,
and the memory of a loader over 20 epochs of it.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

from torch import Tensor

from benchmarks.data_loading.baselines import Baseline, DecordWindows, OpenCVWindows, PillowWindows, Windows
from benchmarks.data_loading.data import FULL, REDUCED, SIDE, SMALL, WIDTHS, Data, Loading, make_data
from benchmarks.data_loading.formats import Prepared, format_rows, loading_decoders
from benchmarks.data_loading.memory import measure_memory
from benchmarks.data_loading.videos import SIZE

WARM_UP = -1


class Contender(Protocol):
    """A loader that can be asked for a number of batches at a time."""

    @property
    def limit(self) -> int:
        """Batches that a turn can have."""
        ...

    def batches(self, turn: int, count: int) -> Iterator[Tensor]:
        """`count` batches [B, T, 3, H, W], others in every turn."""
        ...

    def close(self) -> None:
        """Ends the processes."""
        ...


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.data_loading", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of a contender's turn, about")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every contender, or starts")
    parser.add_argument("--workers", type=int, default=2, help="processes of every loader")
    parser.add_argument("--videos", type=int, default=36, help="videos; one in nine is not trained on")
    parser.add_argument("--frames", type=int, default=300, help="frames of a video")
    parser.add_argument("--batch-size", type=int, default=16, help="windows of a batch")
    parser.add_argument("--memory", action="store_true", help="only start-up and memory with a million rows")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of --memory's catalog")
    parser.add_argument("--epochs", type=int, default=20, help="of --memory")
    parser.add_argument("--batches", type=int, default=50, help="that --memory reads of an epoch")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="data_loading_") as folder:
        if options.memory:
            measure_memory(Path(folder), options.rows, options.rounds, options.epochs, options.batches, options.workers)
        else:
            measure_speed(Path(folder), options)


def measure_speed(folder: Path, options: argparse.Namespace) -> None:
    """Makes the data and prints both tables and what became of the targets."""
    began = time.monotonic()
    data = make_data(folder, options.videos, options.frames)
    print(
        f"{options.videos} videos of {options.frames} frames, 320x240 H.264: {data.content}; made and prepared in "
        f"{time.monotonic() - began:.0f} s\n{os.cpu_count()} cores, {options.workers} workers, "
        f"{options.rounds} rounds of about {options.seconds:g} s a contender\n",
        flush=True,
    )
    loading = Loading(options.workers, options.batch_size)
    contenders = baselines(data, loading) | ours(data, loading)
    speeds = take_turns(contenders, options.rounds, options.seconds, options.workers)
    print("\n".join(speed_rows(speeds)), flush=True)
    print("\n" + "\n".join(targets(speeds)) + "\n", flush=True)
    alone = Loading(1, options.batch_size)
    kinds = {name: Prepared(data.prepared[kind], FULL, alone) for name, kind in FORMATS.items()}
    per_core = take_turns(kinds, options.rounds, options.seconds, 1)
    print("\n".join(format_rows(kinds, per_core, options.videos * options.frames)))


DECORD, DECORD_SCALES = "decord per sample", "decord per sample, which scales while it decodes"
PILLOW_240, PILLOW_224 = "JPEG per frame, Pillow, from 320x240", "JPEG per frame, Pillow, from 298x224"
OPENCV_224 = "JPEG per frame, OpenCV, from 298x224"
FORMATS: dict[str, tuple[str, int | None]] = {
    "packed": ("packed", SIDE),
    "frames": ("frames", SIDE),
    "hdf5": ("hdf5", SIDE),
    "video, re-encoded": ("video", SIDE),
    "video, as it is": ("video", None),
}
PACKED, PACKED_SMALL = "ours: packed, 224x224", "ours: packed, 60x80"


def baselines(data: Data, loading: Loading) -> dict[str, Contender]:
    """The loading of others."""
    datasets = {
        DECORD: (DecordWindows(), data.videos),
        DECORD_SCALES: (DecordWindows((SIDE, WIDTHS[SIDE])), data.videos),
        PILLOW_240: (PillowWindows(), data.frame_folders[SIZE[0]]),
        PILLOW_224: (PillowWindows(), data.frame_folders[SIDE]),
        OPENCV_224: (OpenCVWindows(), data.frame_folders[SIDE]),
    }
    return {
        name: Baseline(
            dataset,
            Windows(places, data.num_frames, loading.length, loading.frequency, loading.batch_size),
            loading.num_workers,
        )
        for name, (dataset, places) in datasets.items()
    }


def ours(data: Data, loading: Loading) -> dict[str, Contender]:
    """Our formats, and the video files with every decoder that loads here."""
    contenders: dict[str, Contender] = {
        PACKED: Prepared(data.prepared["packed", SIDE], FULL, loading),
        PACKED_SMALL: Prepared(data.prepared["packed", SMALL], REDUCED, loading),
    }
    for kind in ("frames", "hdf5"):
        contenders[f"ours: {kind}, 224x224"] = Prepared(data.prepared[kind, SIDE], FULL, loading)
    for title, side in (("re-encoded", SIDE), ("as it is", None)):
        place = data.prepared["video", side]
        for decoder in loading_decoders(place, loading):
            contenders[f"ours: video {title}, {decoder}, 224x224"] = Prepared(place, FULL, loading, decoder)
    return contenders


def take_turns(
    contenders: Mapping[str, Contender], rounds: int, seconds: float, num_workers: int
) -> dict[str, list[float]]:
    """Frames per second of every contender in every round; every other round goes backwards.

    A turn is a number of batches, the same for every worker, from the request to the last one: nothing is left over
    that was decoded in another contender's time.
    """
    counts = {}
    for name, contender in contenders.items():
        _speed(contender, WARM_UP, num_workers)  # starts processes, opens files
        began = time.monotonic()
        _speed(contender, WARM_UP, num_workers)
        each = round(seconds / (time.monotonic() - began))
        counts[name] = num_workers * max(1, min(each, contender.limit // num_workers))
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
            speeds[name].append(_speed(contenders[name], turn, counts[name]))
    for contender in contenders.values():
        contender.close()
    return speeds


def _speed(contender: Contender, turn: int, count: int) -> float:
    frames = 0
    began = time.monotonic()
    for video in contender.batches(turn + 1, count):
        frames += video.shape[0] * video.shape[1]
    return frames / (time.monotonic() - began)


def speed_rows(speeds: Mapping[str, Sequence[float]]) -> list[str]:
    """The table in Markdown."""
    reference = median(speeds[DECORD])
    lines = ["| loading | frames/s, median | min..max | against decord |", "|---|---|---|---|"]
    for name, values in speeds.items():
        ratio = f"{median(values) / reference:.1f}x"
        lines.append(f"| {name} | {median(values):,.0f} | {min(values):,.0f}..{max(values):,.0f} | {ratio} |")
    return lines


def targets(speeds: Mapping[str, Sequence[float]]) -> list[str]:
    """Which of the project's targets were reached; a ratio is the median of the rounds' own ratios."""
    lines = []
    for baseline, wanted in ((DECORD, 8), (DECORD_SCALES, 8), (PILLOW_240, 1.5), (PILLOW_224, 1.5), (OPENCV_224, 1.5)):
        reached = median(own / other for own, other in zip(speeds[PACKED], speeds[baseline], strict=True))
        lines.append(f"{_verdict(reached >= wanted)}: packed at 224 {reached:.1f}x '{baseline}' (target {wanted}x)")
    small = median(speeds[PACKED_SMALL])
    lines.append(f"{_verdict(small >= 12_000)}: packed at 60x80 {small:,.0f} frames/s (target 12,000 on 2 cores)")
    return lines


def _verdict(reached: bool) -> str:
    return "reached" if reached else "not reached"


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # of every catalog that is opened
    main()
