"""How much memory is left, and what a step takes of it."""

from __future__ import annotations

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


def test_the_peak_is_that_since_the_start() -> None:
    peak = PeakMemory(CPU)
    assert peak.bytes() is None
    for size in (100 * MB, 20 * MB):
        peak.start()
        for _ in range(3):
            torch.ones(size // 4).add_(1)
        taken = peak.bytes()
        assert taken is not None
        assert size - 2 * MB < taken < size + 15 * MB


def test_where_it_cannot_be_reset_it_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "nowhere/clear_refs")
    peak = PeakMemory(CPU)
    peak.start()
    assert peak.bytes() is None
