from __future__ import annotations

from dataclasses import replace
from typing import Any

from runs.step_log import StepLog
from train import StepReport


class Lines:
    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def write(self, kind: str, **values: Any) -> None:
        self.written.append({"kind": kind, **values})


def report(step: int, level: str) -> StepReport:
    return StepReport(step, step, {level: {"side": float(step)}}, {level: float(step)}, 0.1, 4, 1.0, 0.0)


def test_a_resumed_run_writes_what_was_not_written_yet() -> None:
    """Levels take turns, and a checkpoint is taken between two lines."""
    whole, parts = Lines(), Lines()
    log: Any = whole
    steps = StepLog(log, 4, 100, {})
    for number in range(1, 9):
        steps.add(report(number, "time" if number % 2 else "space"), epoch=0)
    unlogged: dict[str, dict[str, Any]] = {}
    for numbers in (range(1, 4), range(4, 8), range(8, 9)):
        log = parts
        steps = StepLog(log, 4, 100, unlogged)
        for number in numbers:
            steps.add(report(number, "time" if number % 2 else "space"), epoch=0)
        unlogged = {name: dict(values) for name, values in unlogged.items()}  # as a checkpoint gives it back
    assert parts.written == whole.written
    assert [line["loss"] for line in whole.written] == [
        {"time": {"side": 3.0}, "space": {"side": 4.0}},
        {"time": {"side": 7.0}, "space": {"side": 8.0}},
    ]


def test_what_a_task_measures_is_written_where_it_measures_something() -> None:
    lines = Lines()
    log: Any = lines
    steps = StepLog(log, 1, 100, {})
    steps.add(report(1, "time"), epoch=0)
    steps.add(replace(report(2, "time"), measures={"perplexity": 2.5}), epoch=0)
    assert "measures" not in lines.written[0]
    assert lines.written[1]["measures"] == {"perplexity": 2.5}
