"""Looks whether a long run leaks: memory, open files, threads and processes after each of its epochs.

    python -m benchmarks.soak [--epochs 20] [--out outputs/soak] [key=value ...]

Trains a small model on a small part of the embedded data, on the CPU, by `main.py` itself in this process, with loader
processes, and validates after every epoch, as real runs do. Prints a line for every epoch, and at the end whether
memory stayed within 2 % of what it was after the first epochs, and the other numbers the same; exit status 1 if not.

Memory is what is resident of this process once its heap has given back what is free (else the order in which blocks
were freed would show), and beside it what all processes of the run hold, shared pages counted once: this may fall, as
pages of libraries are shared with other programs that start.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from unittest.mock import patch

import psutil

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 0.02
"""Share by which memory may change, to either side."""
FIRST_EPOCHS = 4  # in which libraries are loaded, caches are filled and the heap finds its size
SMALL = (
    *("dataset.videos={train: 48, val: 16, test: 16}", "batch_size=8", "num_workers=2", "log_interval=1"),
    *("hierarchy.space.layers=1", "hierarchy.time.layers=1", "hierarchy.clip.layers=1", "pixel_floors=false"),
    *("figures=[]", "model_figures=[]", "evaluations.linear_probe=null", "figure_videos=8"),
)


@dataclass(frozen=True)
class Sample:
    """What the run holds after an epoch."""

    own_mb: float
    all_mb: float
    files: int
    threads: int
    processes: int


def main() -> int:
    """Trains, prints the table, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20, help=f"more than {FIRST_EPOCHS + 1}")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/soak", help="folder of the data")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. num_workers=0")
    options = parser.parse_args()
    if options.epochs <= FIRST_EPOCHS + 1:
        parser.error(f"--epochs: more than {FIRST_EPOCHS + 1}; the first {FIRST_EPOCHS} do not count")
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "passive"}
    with TemporaryDirectory(dir=options.out) as folder:
        start = [f"dataset.root={options.out / 'moving_digits'}", f"save_path={folder}", f"num_epochs={options.epochs}"]
        samples = samples_of(["quickstart.yaml", *start, *SMALL, *options.overrides])
    for line in table(samples):
        print(line)
    leaks = leaks_in(samples)
    print("; ".join(leaks) if leaks else f"no leak: memory within {TOLERANCE:.0%}, all else the same")
    return 1 if leaks else 0


def samples_of(arguments: list[str]) -> list[Sample]:
    """One sample after each epoch of a run of main.py."""
    import main as program
    from runs.history import History

    samples: list[Sample] = []
    end_epoch = History.end_epoch

    def sampled(history: History) -> None:
        end_epoch(history)
        samples.append(sample())

    with patch.object(History, "end_epoch", sampled):
        status = program.main(arguments)
    if status:
        sys.exit(f"the run failed with exit status {status}")
    return samples


def sample() -> Sample:
    """What this process, and all that it started, holds now."""
    from runs.process.memory import bytes_of
    from runs.process.peak_memory import give_back_what_is_free

    gc.collect()
    give_back_what_is_free()
    own = psutil.Process()
    children = own.children(recursive=True)
    everything = sum(map(bytes_of, [own, *children]))
    files = min(_open_files(own) for _ in range(5))  # a thread that looks at memory has one open for a moment
    return Sample(own.memory_info().rss / 1e6, everything / 1e6, files, own.num_threads(), len(children))


def _open_files(process: psutil.Process) -> int:
    sleep(0.02)
    return int(process.num_fds())


def table(samples: list[Sample]) -> list[str]:
    """A line for each epoch."""
    lines = ["epoch  MB of this process  MB of all  open files  threads  child processes"]
    for epoch, found in enumerate(samples, start=1):
        counts = f"{found.files:10d}  {found.threads:7d}  {found.processes:15d}"
        lines.append(f"{epoch:5d}  {found.own_mb:18.1f}  {found.all_mb:9.1f}  {counts}")
    return lines


def leaks_in(samples: list[Sample]) -> list[str]:
    """What did not stay as it was after the first epochs, in words."""
    before, later = samples[FIRST_EPOCHS - 1], samples[FIRST_EPOCHS:]
    leaks = []
    own, everything = [found.own_mb for found in later], [found.all_mb for found in later]
    if max(own) > before.own_mb * (1 + TOLERANCE) or min(own) < before.own_mb * (1 - TOLERANCE):
        leaks.append(
            f"this process: {min(own):.1f} to {max(own):.1f} MB, {before.own_mb:.1f} after epoch {FIRST_EPOCHS}"
        )
    if max(everything) > before.all_mb * (1 + TOLERANCE):
        leaks.append(f"all processes: up to {max(everything):.1f} MB, {before.all_mb:.1f} after epoch {FIRST_EPOCHS}")
    for name in ("files", "threads", "processes"):
        counts = {getattr(found, name) for found in [before, *later]}
        if len(counts) > 1:
            leaks.append(f"{name}: from {min(counts)} to {max(counts)}")
    return leaks


if __name__ == "__main__":
    sys.exit(main())
