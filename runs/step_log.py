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
    """

    def __init__(self, log: StageLog, interval: int, steps_per_epoch: int) -> None:
        self._log, self._interval, self._steps_per_epoch = log, interval, steps_per_epoch
        self._loss: dict[str, dict[str, float]] = {}
        self._grad_norm: dict[str, float] = {}

    def add(self, report: StepReport, epoch: int) -> None:
        """Takes the report of a step, and writes a line where one is due."""
        # Since the last line: what was written once is not written again as if it were new.
        self._loss |= report.loss
        self._grad_norm |= report.grad_norm
        ends = report.step % self._steps_per_epoch == 0
        if ends or report.skipped or report.step % self._interval == 0:
            latest: dict[str, Any] = {"loss": self._loss, "grad_norm": self._grad_norm}
            values = asdict(report) | latest | {"epoch": epoch}
            if not report.measures:
                del values["measures"]
            self._log.write("step", **values)
            self._loss, self._grad_norm = {}, {}
