"""Names of runs: what they say, that they are unique, and that every tool takes them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sweeps.names import names_of, short_keys, with_seed


@pytest.mark.parametrize(
    ("combination", "name"),
    [
        ({}, ""),
        ({"optimizer.lr": 0.001, "groups": ["space", "time"]}, "lr-0.001_groups-space-time"),
        ({"optimizer.lr": 1e-5}, "lr-1e-05"),
        ({"batch_size": 32, "dataset.flip": None, "resume_all": True}, "batch_size-32_flip-null_resume_all-true"),
        ({"x": -0.5}, "x--0.5"),
        ({"hierarchy.space.dim": 8, "hierarchy.time.dim": 16}, "space.dim-8_time.dim-16"),
    ],
)
def test_a_name_says_what_differs(combination: dict[str, Any], name: str) -> None:
    assert names_of([combination]) == [name]


def test_what_a_name_cannot_say_has_a_hash() -> None:
    names = names_of([{"root": "/data/a"}, {"root": "/data a"}, {"root": ""}, {"root": "a" * 90}])
    assert names[0].startswith("root-data-a-")
    assert names[1] != names[0]
    assert len(set(names)) == 4
    sgd, adamw = names_of([{"optimizer": {"name": "sgd", "lr": 1}}, {"optimizer": {"name": "sgd", "lr": 2}}])
    assert sgd.startswith("optimizer-sgd-")
    assert sgd != adamw
    assert len(set(names_of([{"x": ["a", "b"]}, {"x": ["a-b"]}, {"x": "a-b"}, {"x": [["a"], "b"]}]))) == 4


def test_names_are_unique_and_such_that_files_and_the_launcher_take_them() -> None:
    values = [
        "a b",
        "a=b",
        "ä",
        "a/b",
        "../x",
        "a\nb",
        "'",
        "$HOME",
        "*",
        "a" * 300,
        1,
        "1",
        1.0,
        True,
        "true",
        None,
        [],
    ]
    names = names_of([{f"key.{'k' * 60}": value, "other": 1} for value in values])
    assert len(set(names)) == len(values)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert len(name) < 130


def test_a_name_stays_when_the_sweep_grows() -> None:
    few = [{"lr": 0.1, "x": "a b"}]
    assert names_of([*few, {"lr": 0.2, "x": "c"}, {"lr": 0.3, "x": "a  b"}])[0] == names_of(few)[0]


def test_keys_are_as_short_as_they_can_be() -> None:
    keys = ["optimizer.lr", "a.b.dim", "c.b.dim", "dim.x"]
    assert short_keys(keys) == {"optimizer.lr": "lr", "a.b.dim": "a.b.dim", "c.b.dim": "c.b.dim", "dim.x": "x"}
    assert short_keys(["lr", "optimizer.lr"]) == {"lr": "lr", "optimizer.lr": "optimizer.lr"}


def test_seeds_stand_at_the_end() -> None:
    assert with_seed("lr-0.1", 3) == "lr-0.1_s3"
    assert with_seed("", 3) == "s3"
