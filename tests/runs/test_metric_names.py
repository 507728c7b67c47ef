"""Every number has one name, and docs/metrics.md has all names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runs.metric_names import describe, final_metrics, metrics_of, score_name
from runs.results import Result, as_records
from tests.runs.conftest import make_records, make_summary

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
OLD = Path(__file__).parent / "run_of_41187a4"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == describe(), "run: python -m runs.metric_names > docs/metrics.md"


def patterns(evaluations: set[str]) -> dict[str, re.Pattern[str]]:
    """The names of the page, each as what it matches."""
    listed = re.findall(r"^\| `([^`]+)` \|", describe(), flags=re.MULTILINE)
    words = {"EVALUATION": f"({'|'.join(map(re.escape, evaluations))})"}
    return {
        name: re.compile("/".join(words.get(part, "[^/]+" if part.isupper() else part) for part in name.split("/")))
        for name in listed
    }


def named(names: set[str], evaluations: set[str]) -> tuple[set[str], set[str]]:
    """Which names the page does not have, and which of its names nothing has."""
    known = patterns(evaluations)
    unknown = {name for name in names if not any(pattern.fullmatch(name) for pattern in known.values())}
    unused = {name for name, pattern in known.items() if not any(pattern.fullmatch(found) for found in names)}
    return unknown, unused


def test_a_record_of_a_step_and_of_a_validation() -> None:
    step = {
        "kind": "step",
        "step": 10,
        "epoch": 0,
        "skipped": False,
        "lr": 0.5,
        "loss": {"space": {"up": 1, "x": None}},
    }
    assert metrics_of(step) == {"epoch": 0, "skipped": 0, "lr": 0.5, "loss/space/up": 1}
    result = Result("knn", "d", "val", "space", "my digit", "top1", 50.0, random_init=20.0, chance=10.0, own=True)
    validation = {
        "kind": "validation",
        "step": 10,
        "epoch": 1,
        "knn": {"space": {"my digit": {"top1": 50.0}}},
        "rank": {"space": 7},
        "monitors": {"lidar": {"space": 2}, "cka": {"space-time": 0.5}, "grad_norm": {"space": 3}},
        "alarms": ["one", "two"],
        "results": [vars(result)],
    }
    assert metrics_of(validation) == {
        "knn/space/my_digit": 50,
        "knn/space/my_digit/random_init": 20,
        "knn/space/my_digit/chance": 10,
        "rank/space": 7,
        "lidar/space": 2,
        "cka/space-time": 0.5,
        "mean_grad_norm/space": 3,
        "alarms": 2,
    }


@pytest.mark.parametrize(
    ("level", "labels", "metric", "name"),
    [
        ("clip", "program", "top1", "knn/clip/program"),
        ("clip", "program", "map", "knn/clip/program/map"),
        ("clip", None, "top1", "knn/clip/top1"),
        (None, "program", "top1", "knn/program"),
        (None, None, "loss", "knn/loss"),
    ],
)
def test_a_score_without_a_part_lacks_that_part(level: str | None, labels: str | None, metric: str, name: str) -> None:
    assert score_name(Result("knn", "d", "val", level, labels, metric, 1.0)) == name


def test_a_run_of_an_older_version_has_the_same_names() -> None:
    lines = (OLD / "metrics.jsonl").read_text().splitlines()
    found = {name for line in lines for name in metrics_of(json.loads(line))}
    found |= final_metrics(json.loads((OLD / "summary.json").read_text())).keys()
    assert {
        "knn/space/digit",
        "knn/space/digit/chance",
        "loss/space/down",
        "rank/clip",
        "test/knn/clip/program",
    } <= found
    assert named(found, {"knn", "linear_probe"})[0] == {"clips"}  # windows, as they were counted then


def test_pixels_have_names_beside_the_scores_and_of_their_own() -> None:
    score = Result("knn", "d", "test", "clip", "act", "top1", 50.0, pixels=70.0)
    look = Result("knn", "d", "test", "frame differences", "act", "top1", 70.0)
    found = final_metrics({"results": as_records([score]), "pixel_floors": as_records([look])})
    assert found == {
        "test/knn/clip/act": 50.0,
        "test/knn/clip/act/pixels": 70.0,
        "test/knn/frame_differences/act": 70.0,
    }


def test_what_the_report_shows_has_names_of_the_page() -> None:
    records: list[dict[str, Any]] = make_records()
    found = {name for record in records for name in metrics_of(record)} | final_metrics(make_summary()).keys()
    assert not named(found, {"knn", "linear_probe"})[0]
