"""Runs that are killed at many moments, and asked to end in every way, go on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.interruptions.cases import delays
from benchmarks.interruptions.left import differences
from benchmarks.interruptions.moments import MOMENTS, Moment, function_at, set_trap
from benchmarks.kill_and_resume import outcomes, row


def test_the_moments_are_a_function_of_the_seed() -> None:
    assert delays(20, 60, seed=0) == delays(20, 60, seed=0) != delays(20, 60, seed=1)
    assert len(delays(20, 60, seed=0)) == 20
    assert all(0 < delay < 60 for delay in delays(20, 60, seed=0))


def test_every_difference_is_found() -> None:
    one = {"a": {"b": [1, {"c": b"x"}]}, "d": 2}
    assert differences(one, {"a": {"b": [1, {"c": b"x"}]}, "d": 2}) == []
    assert differences(one, {"a": {"b": [1, {"c": b"y"}]}}) == ["a.b.1.c", "d"]
    assert differences(one, {"a": {"b": [1]}, "d": 2}) == ["a.b"]


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_every_moment_is_one_of_the_program(moment: Moment, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, last = function_at(moment.place)
    monkeypatch.setattr(owner, last, getattr(owner, last))  # is put back
    set_trap(moment)
    assert getattr(owner, last).__name__ == "trapped"


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["random", "named", "signals"])
def test_no_interruption_leaves_a_trace(tmp_path: Path, kind: str) -> None:
    bad = [row(outcome) for outcome in outcomes(tmp_path, kills=20, seed=0, kinds=(kind,)) if not outcome.is_good]
    assert not bad
