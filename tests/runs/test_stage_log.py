"""Records of a stage go on from those of the stages before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runs.metrics import MetricLog
from runs.stage_log import StageLog


def places(log: MetricLog) -> list[tuple[Any, ...]]:
    return [(record["kind"], record.get("stage"), record["step"], record["epoch"]) for record in log.records()]


@pytest.fixture
def log(tmp_path: Path) -> MetricLog:
    return MetricLog(tmp_path / "metrics.jsonl")


def test_a_run_without_stages_writes_what_it_always_did(log: MetricLog) -> None:
    StageLog(log, None).write("step", step=3, epoch=0, loss={})
    assert log.records() == [{"kind": "step", "step": 3, "epoch": 0, "loss": {}}]


def test_steps_and_epochs_go_on_and_a_stage_sees_its_own(log: MetricLog) -> None:
    first, second = StageLog(log, 1), StageLog(log, 2, first_step=6, first_epoch=2)
    first.write("validation", step=6, epoch=2)
    second.write("random_init", step=0, epoch=0)
    second.write("step", step=1, epoch=0)
    assert places(log) == [("validation", 1, 6, 2), ("random_init", 2, 6, 2), ("step", 2, 7, 2)]
    assert [record["kind"] for record in second.records()] == ["random_init", "step"]


def test_what_a_later_stage_has_begun_with_is_done_again(log: MetricLog) -> None:
    first, second = StageLog(log, 1), StageLog(log, 2, first_step=6, first_epoch=2)
    first.write("step", step=6, epoch=1)
    first.write("validation", step=6, epoch=2)
    second.write("random_init", step=0, epoch=0)
    second.write("validation", step=0, epoch=0)
    kept = places(log)[:2]
    first.drop_after(6, 2)
    assert places(log) == kept
    second.write("validation", step=0, epoch=0)
    second.write("step", step=1, epoch=0)
    second.drop_after(0, 0)
    assert places(log) == [*kept, ("validation", 2, 6, 2)]


def test_a_stage_that_starts_alone_takes_over_what_the_others_have_logged(log: MetricLog) -> None:
    others = [{"kind": "step", "stage": stage, "step": stage, "epoch": 0} for stage in (1, 2, 3)]
    StageLog(log, None).take_over(others)
    assert log.records() == []
    third = StageLog(log, 3, first_step=2)
    third.take_over(others)
    third.take_over(others)
    assert log.records() == others[:2]
