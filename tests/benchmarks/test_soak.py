"""benchmarks/soak.py: what it calls a leak, and that a short run has none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import FIRST_EPOCHS, Sample, leaks_in

ROOT = Path(__file__).parents[2]
FOUND = Sample(own_mb=1000.0, all_mb=1500.0, files=27, threads=9, processes=6)


def with_last(**values: Any) -> list[Sample]:
    """Samples that are the same but for values of the last one; what the first epochs hold does not count."""
    first = [replace(FOUND, own_mb=500.0, files=10)] * (FIRST_EPOCHS - 1)
    return [*first, *[FOUND] * 3, replace(FOUND, **values)]


@pytest.mark.parametrize(
    ("samples", "leaks"),
    [
        (with_last(), []),
        (with_last(own_mb=1019.0, all_mb=1300.0), []),
        (with_last(own_mb=1021.0), ["this process: 1000.0 to 1021.0 MB, 1000.0 after epoch 4"]),
        (with_last(own_mb=979.0), ["this process: 979.0 to 1000.0 MB, 1000.0 after epoch 4"]),
        (with_last(all_mb=1531.0), ["all processes: up to 1531.0 MB, 1500.0 after epoch 4"]),
        (with_last(files=28, threads=8), ["files: from 27 to 28", "threads: from 8 to 9"]),
    ],
)
def test_what_is_called_a_leak(samples: list[Sample], leaks: list[str]) -> None:
    assert leaks_in(samples) == leaks


@pytest.mark.slow
def test_a_short_run_does_not_leak(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--epochs", "8", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[-1] == "no leak: memory within 2%, all else the same"
    assert [line.split()[0] for line in lines[-9:-1]] == [str(epoch) for epoch in range(1, 9)]
