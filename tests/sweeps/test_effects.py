"""What mattered: shares that can be computed by hand, and what chance does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.effects import effects, share_of_seeds
from sweeps.folder import Manifest, SweepRun
from sweeps.scores import Measure, Score
from sweeps.table import Row, RunRow, Table
from sweeps.training import Outcome


def table_of(scores: list[tuple[dict[str, Any], int, float]], drawn: tuple[str, ...] = ()) -> Table:
    """A table of runs: values, seed, score."""
    rows: dict[str, Row] = {}
    for number, (values, seed, score) in enumerate(scores):
        run = SweepRun(f"run{number}", values, seed, "")
        row = rows.setdefault(repr(values), Row(values, []))
        row.runs.append(RunRow(run, Outcome("done"), {"val": Score(score, None, None, "%")}, None))
    manifest = Manifest(
        "base.yaml", list(scores[0][0]), list(drawn), [run.run for row in rows.values() for run in row.runs]
    )
    return Table("sweep", manifest, Measure("knn"), "val", list(rows.values()))


def grid(score: Callable[[int, int, int], float], seeds: int = 2) -> Table:
    return table_of(
        [({"a": a, "b": b}, seed, score(a, b, seed)) for a in (0, 1) for b in (0, 1) for seed in range(seeds)]
    )


def test_shares_are_those_of_the_analysis_of_variance() -> None:
    """Effects of 4 and 2 and a seed's of 1: squares 2^2, 1^2, 0.5^2 about the means."""
    first, second = effects(grid(lambda a, b, seed: 4 * a + 2 * b + seed))
    assert (first.key, second.key) == ("a", "b")
    assert [first.share, second.share] == pytest.approx([4 / 5.25, 1 / 5.25])
    assert share_of_seeds(grid(lambda a, b, seed: 4 * a + 2 * b + seed)) == pytest.approx(0.25 / 5.25)
    assert [group.title for group in first.groups] == ["0", "1"]
    assert [group.spread.mean for group in first.groups] == [1.5, 5.5]
    assert (first.best.title, first.gap, first.units) == ("1", 4.0, 8)


def test_eight_runs_are_too_few_for_a_verdict_and_twelve_are_enough() -> None:
    def clear(a: int, b: int, seed: int) -> float:
        return 10 * a + b + 0.1 * seed

    (few, _), (enough, other) = effects(grid(clear)), effects(grid(clear, seeds=3))
    assert few.verdict == "too few"  # 4 pairs can be dealt in 16 ways, 2 of which are as far apart
    assert few.least_p == pytest.approx(2 / 16, abs=0.03)
    assert enough.verdict == "sure"
    assert enough.p == pytest.approx(2 / 64, abs=0.015)
    assert (other.key, other.verdict) == ("b", "sure")  # however much more `a` does: it is compared within equal `a`


def test_a_key_without_an_effect_is_told_from_chance_as_seldom_as_promised() -> None:
    sure = 0
    for trial in range(60):
        noise = list(np.random.default_rng(trial).normal(size=16))
        found = effects(grid(lambda a, b, seed, noise=noise: 5 * b + noise[8 * a + 4 * b + seed], seeds=4))  # type: ignore[misc]
        (a,) = [effect for effect in found if effect.key == "a"]
        sure += a.verdict == "sure"
        assert a.by_chance < 0.2
    assert sure <= 8  # 3 are expected; more than 8 happen once in 300 times


def test_runs_of_a_draw_count_once() -> None:
    """Ten draws with five seeds each are ten scores: fifty would make a chance look sure."""
    noise = np.random.default_rng(1)
    draws = [(float(noise.uniform()), float(noise.normal())) for _ in range(10)]
    runs = [({"lr": lr, "a": a}, seed, level) for lr, level in draws for a in (0, 1) for seed in range(5)]
    found = {effect.key: effect for effect in effects(table_of(runs, drawn=("lr",)))}
    assert found["lr"].units == 10
    assert found["lr"].p > 0.05
    assert len(found["lr"].groups) == 3
    assert found["a"].share == pytest.approx(0.0, abs=1e-9)


def test_many_numbers_are_looked_at_in_thirds() -> None:
    values = [1e-5 * 10 ** (number / 4) for number in range(12)]
    found = effects(table_of([({"lr": value}, 0, 50.0 + value) for value in values], drawn=("lr",)))
    assert [len(group.scores) for group in found[0].groups] == [4, 4, 4]
    assert found[0].groups[0].title.startswith("1.0e-05 to ")
    assert found[0].verdict == "sure"


def test_what_cannot_be_compared_has_no_effect() -> None:
    assert effects(table_of([({"a": 1}, 0, 50.0), ({"a": 1}, 1, 60.0)])) == []
    (constant,) = effects(table_of([({"a": a}, seed, 50.0) for a in (0, 1) for seed in range(4)]))
    assert (constant.share, constant.verdict) == (0.0, "too few")
    assert share_of_seeds(table_of([({"a": a}, 0, 50.0 + a) for a in (0, 1)])) is None


def test_values_of_every_type_have_groups(tmp_path: Path) -> None:
    values = [None, True, "text", ["space", "time"], {"name": "sgd"}, 3, 0.5]
    found = effects(table_of([({"x": value}, seed, 1.0 * seed) for value in values for seed in (0, 1)]))
    assert {group.title for group in found[0].groups} == {
        "null", "true", "text", "[space, time]", "{name: sgd}", "3", "0.5",
    }  # fmt: skip
