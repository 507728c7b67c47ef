from __future__ import annotations

import json
from typing import Any

import pytest

from runs.process.atomic import plain
from runs.results import Result, as_records, mean_score, nested, results_of, with_random_init


def score(value: float | None, random_init: float | None, chance: float | None, interval: float | None) -> Result:
    return Result("knn", "digits", "test", "space", "digit", "top1", value, "%", random_init, chance, interval)


def result(evaluation: str, level: str | None, labels: str | None, value: float | None, **more: Any) -> Result:
    return Result(evaluation, "digits", "val", level, labels, "top1", value, **more)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (score(50.0, 40.0, 10.0, 9.9), "above"),
        (score(50.0, 40.0, 10.0, 10.0), "within"),
        (score(50.0, 10.0, 45.0, 9.0), "within"),  # chance is a floor, too
        (score(20.0, 40.0, 10.0, 9.0), "below"),
        (score(50.0, None, 10.0, 9.0), "above"),
        (score(None, 40.0, 10.0, 9.0), "unknown"),
        (score(50.0, 40.0, 10.0, None), "unknown"),
        (score(50.0, None, None, 9.0), "unknown"),
    ],
)
def test_a_score_counts_only_above_the_higher_floor_by_more_than_the_interval(found: Result, verdict: str) -> None:
    assert found.verdict == verdict


def test_the_nested_form_is_that_of_the_first_version() -> None:
    results = [
        result("knn", "space", "digit", 50.0, random_init=12.0, chance=10.0, interval=3.0, own=True),
        result("knn", "space", "motion", 60.0, chance=25.0),
        result("supervised", None, "program", 90.0, chance=8.0, interval=2.0),
        Result("search", "digits", "test", "clip", None, "recall", 0.5, unit="of 1"),
    ]
    assert nested(results) == {
        "knn": {
            "space": {
                "digit": {"top1": 50.0, "random_init": 12.0, "chance": 10.0, "interval": 3.0},
                "motion": {"top1": 60.0, "chance": 25.0},
            }
        },
        "supervised": {"top1": 90.0, "chance": 8.0, "interval": 2.0, "labels": "program"},
        "search": {"clip": {"recall": 0.5}},
    }


def test_results_go_through_json_unchanged() -> None:
    results = [result("knn", "space", "digit", 50.0, own=True), result("far", None, None, float("nan"))]
    record = json.loads(json.dumps(plain({"kind": "validation", "results": as_records(results)})))
    record["results"][0]["of_a_later_version"] = 1
    assert results_of(record) == [results[0], result("far", None, None, None)]


def test_records_of_older_versions_are_read() -> None:
    found = {"top1": 20.0, "random_init": 30.0, "chance": 10.0}
    record = {"kind": "validation", "knn": {"space": {"digit": found, "motion": {"top1": None}}}}
    one, other = results_of(record, {"space": "digit"})
    assert (one.evaluation, one.split, one.level, one.labels, one.value, one.own) == (
        *("knn", "val", "space", "digit"),
        *(20.0, True),
    )
    assert (one.random_init, one.chance, one.interval) == (30.0, 10.0, None)
    assert (other.labels, other.value, other.own) == ("motion", None, False)
    assert results_of({"kind": "validation"}) == []


def test_random_init_is_put_beside_what_it_is_of() -> None:
    results = [result("knn", "space", "digit", 50.0), result("near", "space", "digit", 60.0)]
    found = with_random_init(results, [result("knn", "space", "digit", 12.0)])
    assert [found[0].random_init, found[1].random_init] == [12.0, None]


def test_the_mean_is_of_every_levels_own_labels_or_of_all() -> None:
    own = [result("knn", level, "x", value, own=True) for level, value in (("space", 10.0), ("time", 20.0))]
    others = [result("knn", "space", "y", 90.0), result("far", "space", "y", 70.0), result("far", "time", "y", None)]
    assert mean_score([*own, *others], "knn") == 15.0
    assert mean_score([*own, *others], "far") == 70.0
    assert mean_score(own, "far") is None


def test_a_column_is_a_label_set_or_a_metric() -> None:
    assert score(1.0, None, None, None).column == "digit"
    assert Result("a", "d", "test", "clip", None, "median rank", 3.0).column == "median rank"
    assert Result("a", "d", "test", "clip", "acts", "mAP", 3.0).column == "acts mAP"
