"""How much memory is left, and what a step takes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from runs.process import free_memory, peak_memory
from runs.process.peak_memory import PeakMemory

CPU = torch.device("cpu")
MB = 1_000_000


def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(free_memory, "_CGROUPS", ((str(limit), str(used)),))
    without = free_memory.free_memory(CPU)
    assert 0 < without <= psutil.virtual_memory().total
    limit.write_text("max\n")
    used.write_text(f"{30 * MB}\n")
    assert free_memory.free_memory(CPU) > 40 * MB
    limit.write_text(f"{70 * MB}\n")
    assert free_memory.free_memory(CPU) == 40 * MB
    used.write_text(f"{80 * MB}\n")
    assert free_memory.free_memory(CPU) == 0


PEAKS = """
import torch
from runs.process.peak_memory import PeakMemory

peak = PeakMemory(torch.device("cpu"))
assert peak.bytes() is None
for megabytes in (200, 40):
    peak.start()
    for _ in range(3):
        torch.ones(megabytes * 250_000).add_(1)
    print(peak.bytes())
"""


def test_the_peak_is_that_since_the_start() -> None:
    # In a process of its own: of a large one, the system may take back pages meanwhile.
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", PEAKS], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    high, low = map(int, done.stdout.split())
    assert 180 * MB < high < 240 * MB
    assert 30 * MB < low < 60 * MB


def test_where_it_cannot_be_reset_it_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "nowhere/clear_refs")
    peak = PeakMemory(CPU)
    peak.start()
    assert peak.bytes() is None
