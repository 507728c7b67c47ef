"""Measures what runs that share a machine cost each other. Threads that wait busily take the cores of the others.

    python -m benchmarks.side_by_side [--runs 2] [--out outputs/side_by_side] [key=value ...]

Trains `quickstart.yaml` by `main.py` itself, alone and several times at once, on the CPU, with threads that wait as
libgomp's do by default (busily for about 3 ms) and as main.py has them wait (asleep). Prints for each how long one run
takes alone, how long all take side by side, and that as a share of what they would take one after the other: 1 where
sharing costs nothing, less where a run alone leaves cores idle. CPU seconds are those of one run, its workers
included: what they grow by side by side was spent on waiting.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter

ROOT = Path(__file__).resolve().parent.parent
WAITING = {"busily": {"GOMP_SPINCOUNT": "300000"}, "asleep": {"OMP_WAIT_POLICY": "passive"}}
VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2, help="runs side by side")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/side_by_side", help="folder of the data")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. num_epochs=1")
    options = parser.parse_args()
    arguments = ["quickstart.yaml", f"dataset.root={options.out / 'moving_digits'}", *options.overrides]
    print(f"{len(os.sched_getaffinity(0))} cores; main.py {' '.join(arguments)}")
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.out) as folder:
        measured(1, arguments, {}, Path(folder) / "first")  # makes the data
        rows = [["threads wait", "alone, s", "CPU s", f"{options.runs} side by side, s", "CPU s", "of one by one"]]
        for name, variables in WAITING.items():
            alone, alone_cpu = measured(1, arguments, variables, Path(folder) / f"{name}-alone")
            beside, beside_cpu = measured(options.runs, arguments, variables, Path(folder) / name)
            numbers = (alone, alone_cpu, beside, beside_cpu)
            rows.append([name, *(f"{number:.1f}" for number in numbers), f"{beside / (options.runs * alone):.2f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def measured(runs: int, arguments: list[str], variables: dict[str, str], folder: Path) -> tuple[float, float]:
    """Seconds until the last of the runs has ended, and CPU seconds of one of them (the mean)."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} | variables
    began, cpu_before = perf_counter(), _cpu_seconds()
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), *arguments, f"save_path={folder}", f"model_name=run{number}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(runs)
    ]
    errors = [process.communicate()[1] for process in processes]
    for process, error in zip(processes, errors, strict=True):
        if process.returncode:
            sys.exit(f"a run failed:\n{error}")
    return perf_counter() - began, (_cpu_seconds() - cpu_before) / runs


def _cpu_seconds() -> float:
    """CPU time of all child processes that have ended."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
