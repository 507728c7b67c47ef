"""What each part of a run costs, and what breaks first with 10, 1,000 and 100,000 hours of video.

    python -m benchmarks.scaling RUN [--gpus 1,8,64] [--windows-per-second 700] [--network 12e9]

Measures what this machine can measure (steps and checkpoint of RUN, rows of a catalog), takes the rest from other
benchmarks of this repository (`COSTS`), and multiplies: a simulation, no measurement of large machines.
Prints two tables in Markdown: the costs, each with where it comes from, and the parts by hours of video.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open

from runs.checkpoint import load_checkpoint, save_checkpoint

HOURS = (10, 1_000, 100_000)
CLIP_SECONDS, FRAME_RATE, VAL_SHARE = 10, 30, 0.02  # of videos as those of Kinetics
_ROWS = 200_000


@dataclass(frozen=True)
class Cost:
    """A number, and the command that measured it."""

    value: float
    unit: str
    source: str


DATA_LOADING = "python -m benchmarks.data_loading --rounds 5 (docs/data.md)"
COSTS = {
    "decode a video file": Cost(369, "frames/s and core", DATA_LOADING),
    "read packed frames": Cost(2_283, "frames/s and core", DATA_LOADING),
    "store packed frames": Cost(12_738, "bytes/frame", DATA_LOADING),
    "encode for validation": Cost(892, "views/s", "python -m benchmarks.extraction (docs/evaluation.md)"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser("benchmarks.scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    parser.add_argument("--gpus", default="1,8,64", help="numbers of processes (1,8,64), one for each number of hours")
    parser.add_argument("--windows-per-second", type=float, help="of one GPU; without: those of RUN on its machine")
    parser.add_argument("--network", type=float, default=12e9, help="bytes/s between processes (12e9)")
    options = parser.parse_args(arguments)
    costs = COSTS | measured(options.run)
    if options.windows_per_second:
        costs["train"] = Cost(options.windows_per_second, "windows/s", "--windows-per-second")
    print("| part | cost | measured by |\n|---|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost.value:,.4g} {cost.unit} | `{cost.source}` |")
    length, windows = window_of(options.run)
    processes = [int(number) for number in options.gpus.split(",")]
    columns = [parts(costs, *pair, length, windows, options.network) for pair in zip(HOURS, processes, strict=True)]
    print(
        f"\n| part | {' | '.join(f'{hours:,} h, {count} GPU' for hours, count in zip(HOURS, processes, strict=True))} |"
    )
    print("|---" * (len(columns) + 1) + "|")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


def measured(run: Path) -> dict[str, Cost]:
    """What RUN and this machine say."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["kind"] == "step"]
    speed = statistics.median(record["windows"] / record["seconds"] for record in steps)
    last = run / "checkpoints" / "last.pt"
    state = load_checkpoint(last)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        save_checkpoint(state, Path(folder) / "last.pt")
        seconds = time.perf_counter() - began
    with safe_open(run / "checkpoints" / "encoder.safetensors", "pt") as file:
        weights = sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118 (no dict)
    here = f"python -m benchmarks.scaling {run.name}"
    return {
        "train": Cost(speed, "windows/s", f"{here} (median of metrics.jsonl)"),
        "save a checkpoint": Cost(last.stat().st_size / seconds / 1e6, "MB/s", here),
        "checkpoint": Cost(last.stat().st_size / 1e6, "MB", here),
        "gradients of the encoder": Cost(4 * weights / 1e6, "MB a step", here),
        "row of a catalog": Cost(row_bytes(), "bytes in memory", here),
    }


def row_bytes() -> float:
    """Memory of a row of a catalog, of a long path and the usual facts."""
    rows = range(_ROWS)
    table = pd.DataFrame(
        {
            "path": [f"train/class {row % 400}/video_{row:011d}_000010_000020.mp4" for row in rows],
            "stored": [f"shards/train-{row // 1000:05d}.bin#{row % 1000}" for row in rows],
            **{name: np.zeros(_ROWS) for name in ("frames", "height", "width", "fps")},
        }
    )
    return float(table.memory_usage(deep=True).sum()) / _ROWS


def window_of(run: Path) -> tuple[int, int]:
    """Frames of a window, and evaluation windows of a video."""
    window = json.loads((run / "checkpoints" / "encoder.json").read_text())["config"]["window"]
    return int(window["length"]), int(window["eval_windows"])


def parts(
    costs: dict[str, Cost], hours: int, processes: int, length: int, eval_windows: int, network: float
) -> dict[str, str]:
    """What each part takes with so many hours of video and processes."""
    videos = hours * 3600 / CLIP_SECONDS
    frames = hours * 3600 * FRAME_RATE
    speed = costs["train"].value * processes
    bank = videos * eval_windows / (costs["encode for validation"].value * processes)
    summed = 2 * costs["gradients of the encoder"].value * 1e6 * (processes - 1) / processes / network
    return {
        "videos of 10 s": f"{videos:,.0f}",
        "prepare once, core hours": f"{frames / costs['decode a video file'].value / 3600:,.0f}",
        "stored, packed": f"{frames * costs['store packed frames'].value / 1e12:,.2f} TB",
        "catalog in each process's memory": f"{videos * costs['row of a catalog'].value / 1e9:,.2f} GB",
        "an epoch, a window of each video": _time(videos / speed),
        "cores that read for it, packed": f"{speed * length / costs['read packed frames'].value:,.1f}",
        "cores that read for it, video files": f"{speed * length / costs['decode a video file'].value:,.1f}",
        "sum of gradients, a step": f"{summed * 1e3:.2f} ms",
        "validation: val encoded": _time(VAL_SHARE * bank),
        "validation: train encoded (kNN, probes)": _time(bank),
        "checkpoint": _time(costs["checkpoint"].value / costs["save a checkpoint"].value),
    }


def _time(seconds: float) -> str:
    """In a unit that suits."""
    for limit, unit, divisor in ((120.0, "s", 1.0), (7200.0, "min", 60.0), (48 * 3600.0, "h", 3600.0)):
        if seconds < limit:
            return f"{seconds / divisor:,.1f} {unit}"
    return f"{seconds / 86400:,.1f} days"


if __name__ == "__main__":
    main()
