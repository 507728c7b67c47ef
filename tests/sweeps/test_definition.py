"""What a sweep varies: a section of a config file, with the command line over it; and what is wrong with either."""

from __future__ import annotations

from typing import Any

import pytest

from config.errors import InputError
from sweeps.combinations import combinations, count, draws, seeds_of
from sweeps.definition import Range, read_definition

SECTION = {
    "name": "rates",
    "grid": {"optimizer": {"lr": [0.001, 0.0003]}, "groups": [["space", "time"], ["space", "time", "clip"]]},
    "random": {"samples": 3, "seed": 5, "hierarchy": {"space": {"dropout": {"low": 0.0, "high": 0.3}}}},
    "seeds": 2,
}


def test_a_section_of_the_file() -> None:
    found = read_definition(SECTION, "base.yaml")
    assert found.name == "rates"
    assert found.grid == {"optimizer.lr": [0.001, 0.0003], "groups": [["space", "time"], ["space", "time", "clip"]]}
    assert found.drawn == {"hierarchy.space.dropout": Range(low=0.0, high=0.3)}
    assert (found.samples, found.draw_seed, found.seeds) == (3, 5, 2)
    assert found.keys == ["optimizer.lr", "groups", "hierarchy.space.dropout"]


def test_the_command_line_takes_the_place_of_the_file() -> None:
    given = ["optimizer.lr={low: 1e-4, high: 1e-2, log: true}", "hierarchy.space.dropout=[0.0, 0.1]", "task=[vicreg]"]
    found = read_definition(SECTION, "base.yaml", given, name="other", samples=7, seeds=1)
    assert list(found.grid) == ["groups", "hierarchy.space.dropout", "task"]
    assert found.drawn == {"optimizer.lr": Range(low=1e-4, high=1e-2, log=True)}
    assert (found.name, found.samples, found.seeds) == ("other", 7, 1)


def test_a_grid_alone() -> None:
    found = read_definition(None, "base.yaml", ["groups=[[space,time],[space,time,clip]]", "optimizer.lr=[1e-3,3e-4]"])
    assert found.grid["groups"] == [["space", "time"], ["space", "time", "clip"]]
    assert combinations(found) == [
        {"groups": ["space", "time"], "optimizer.lr": 0.001},
        {"groups": ["space", "time"], "optimizer.lr": 0.0003},
        {"groups": ["space", "time", "clip"], "optimizer.lr": 0.001},
        {"groups": ["space", "time", "clip"], "optimizer.lr": 0.0003},
    ]
    assert count(found) == 4


@pytest.mark.parametrize(
    ("section", "seeds", "expected"),
    [
        ({}, None, [7]),
        ({"seeds": 3}, None, [7, 8, 9]),
        ({"seeds": [0, 5]}, None, [0, 5]),
        ({"seeds": 3}, 2, [7, 8]),
        ({"grid": {"seed": [4, 2]}}, None, [4, 2]),
    ],
)
def test_seeds_are_counted_from_the_one_of_the_config_or_named(
    section: dict[str, Any], seeds: int | None, expected: list[int]
) -> None:
    found = read_definition(section, "base.yaml", seeds=seeds)
    assert found.keys == []
    assert list(seeds_of(found, first=7)) == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (3, "sweep (base.yaml): expected a mapping, got 3"),
        ({"grd": {}}, "unknown key sweep.grd (base.yaml); did you mean sweep.grid?"),
        ({"grid": [1]}, "sweep.grid (base.yaml): expected a mapping, got [1]"),
        ({"grid": {"optimizer": {"lr": 3}}}, "sweep.grid.optimizer.lr (base.yaml): expected a list of values"),
        ({"grid": {"seed": [1, "a"]}}, "seed: expected a number of seeds, or a list of whole numbers, got [1, a]"),
        ({"grid": {"x": [1, 1]}}, "sweep.grid.x (base.yaml): 1 is in the list twice"),
        ({"grid": {"x": []}}, "sweep.grid.x (base.yaml): expected a list of values"),
        ({"grid": {"model_name": ["a"]}}, "model_name cannot vary: a sweep names its runs"),
        ({"grid": {"seed": [1]}, "seeds": 2}, "seed varies, and there is sweep.seeds (base.yaml): keep one of the two"),
        ({"seeds": 0}, "sweep.seeds (base.yaml): expected a number of seeds"),
        ({"seeds": True}, "sweep.seeds (base.yaml): expected a number of seeds"),
        ({"seeds": [1, 1]}, "sweep.seeds (base.yaml): 1 is in the list twice"),
        ({"random": {"x": [1, 2]}}, "x is drawn: say how often, with --samples N or sweep.random.samples"),
        (
            {"random": {"samples": 0, "x": [1]}},
            "sweep.random.samples (base.yaml): expected a whole number of at least 1",
        ),
        ({"random": {"samples": 4}}, "sweep.random (base.yaml): there are samples, but no key to draw"),
        ({"random": {"samples": 4, "x": 1}}, "sweep.random.x (base.yaml): expected {low: .., high: ..} or a list"),
        ({"random": {"samples": 4, "x": {"low": 1}}}, "high is missing"),
        (
            {"random": {"samples": 4, "x": {"low": 2, "high": 1}}},
            "sweep.random.x (base.yaml): low must be less than high",
        ),
        (
            {"random": {"samples": 4, "x": {"low": 0, "high": 1, "log": True}}},
            "with log, low must be more than 0, got 0",
        ),
        ({"random": {"samples": 4, "seeds": {"low": 0, "high": 1, "lg": True}}}, "unknown key lg"),
        ({"grid": {"x": [1]}, "random": {"samples": 4, "x": [1]}}, "x is in both sweep.grid and sweep.random"),
    ],
)
def test_a_wrong_section_is_told_in_one_line(section: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_definition(section, "base.yaml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["optimizer.lr"], "--set 'optimizer.lr': expected key=[value, ...], such as optimizer.lr=[1e-3,3e-4]"),
        (["=[1]"], "--set '=[1]': expected key=[value, ...]"),
        (["a..b=[1]"], "--set 'a..b=[1]': expected key=[value, ...]"),
        (["x=3"], "--set x: expected a list of values, such as [1, 2], got 3"),
        (["x=[1"], "--set x=[1: "),
        (["x=[1]", "x=[2]"], "--set x is given twice; put all its values into one list"),
        (["x={name: sgd}"], "--set x: expected a list of values, such as [1, 2], got a mapping"),
        (["x={low: 1, hih: 2}"], "unknown key hih (--set x); did you mean high?"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(given: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_definition(None, "base.yaml", given)
    assert message in str(error.value)


# --------------------------------------------------------------------------------------------------------- draws


def test_a_draw_is_a_function_of_its_seed_number_and_key_alone() -> None:
    def drawn(samples: int, **keys: Any) -> list[dict[str, Any]]:
        return draws(read_definition({"random": {"samples": samples, **keys}}, "base.yaml"))

    lr, dropout = {"low": 1e-5, "high": 1e-1, "log": True}, {"low": 0.0, "high": 0.5}
    five = drawn(5, lr=lr)
    assert drawn(20, lr=lr)[:5] == five
    assert [draw["lr"] for draw in drawn(5, dropout=dropout, lr=lr)] == [draw["lr"] for draw in five]
    assert drawn(5, lr=lr, seed=1) != five
    assert len({draw["lr"] for draw in five}) == 5
    assert five[0]["lr"] == 0.000394  # of every version and machine


def test_draws_fill_their_range_evenly_by_number_or_by_order_of_magnitude() -> None:
    section = {
        "samples": 4000,
        "lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "dim": {"low": 3, "high": 5},
        "layers": {"low": 1, "high": 8, "log": True},
        "task": ["a", "b"],
    }
    found = draws(read_definition({"random": section}, "base.yaml"))
    below = {"lr": 1e-3, "dropout": 0.25}
    for key, middle in below.items():
        assert sum(draw[key] < middle for draw in found) / len(found) == pytest.approx(0.5, abs=0.04)
        assert all(section[key]["low"] <= draw[key] <= section[key]["high"] for draw in found)  # type: ignore[index]
    dims = [draw["dim"] for draw in found]
    assert {type(dim) for dim in dims} == {int}
    assert [dims.count(dim) / len(dims) for dim in (3, 4, 5)] == pytest.approx([1 / 3] * 3, abs=0.04)
    assert {draw["layers"] for draw in found} == set(range(1, 9))
    assert sum(draw["layers"] <= 2 for draw in found) > sum(draw["layers"] >= 6 for draw in found)
    assert sum(draw["task"] == "a" for draw in found) / len(found) == pytest.approx(0.5, abs=0.04)


def test_every_combination_of_the_grid_meets_the_same_draws_and_none_twice() -> None:
    section = {"grid": {"task": ["a", "b"]}, "random": {"samples": 50, "x": [1, 2, 3]}, "seeds": 2}
    definition = read_definition(section, "base.yaml")
    assert count(definition) == 200
    found = combinations(definition)
    assert len(found) == 6
    assert [c["x"] for c in found if c["task"] == "a"] == [c["x"] for c in found if c["task"] == "b"]
