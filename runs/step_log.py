"""A line of metrics.jsonl every few training steps: levels may take turns, so a line has the latest of every level."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runs.stage_log import StageLog

if TYPE_CHECKING:
    from train import StepReport


class StepLog:
    """Collects the reports of training steps and writes some of them.

    Args:
        log: takes the lines.
        interval: steps between lines; the last step of an epoch and skipped steps have one in any case.
        steps_per_epoch: that the trainer takes.
        unlogged: what was collected since the last line; it is kept up to date here, for checkpoints.
    """

    def __init__(self, log: StageLog, interval: int, steps_per_epoch: int, unlogged: dict[str, dict[str, Any]]) -> None:
        self._log, self._interval, self._steps_per_epoch = log, interval, steps_per_epoch
        self._unlogged = unlogged

    def add(self, report: StepReport, epoch: int) -> None:
        """Takes the report of a step, and writes a line where one is due."""
        # Since the last line: what was written once is not written again as if it were new.
        latest = {name: self._unlogged.get(name, {}) | getattr(report, name) for name in ("loss", "grad_norm")}
        self._unlogged |= latest
        ends = report.step % self._steps_per_epoch == 0
        if ends or report.skipped or report.step % self._interval == 0:
            values = asdict(report) | latest | {"epoch": epoch}
            if not report.measures:
                del values["measures"]
            self._log.write("step", **values)
            self._unlogged.clear()
