"""The lines that one stage of a run writes into metrics.jsonl: steps and epochs go on from the stages before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runs.metrics import MetricLog


class StageLog:
    """A run's log as one of its stages sees it; of a run without stages, the log itself.

    Args:
        log: of the run.
        stage: number of the stage, from 1; None: the run has none.
        first_step: steps of the stages before it.
        first_epoch: epochs of the stages before it.
    """

    def __init__(self, log: MetricLog, stage: int | None, first_step: int = 0, first_epoch: int = 0) -> None:
        self._log, self._stage = log, stage
        self._first_step, self._first_epoch = first_step, first_epoch

    def write(self, kind: str, *, step: int, epoch: int, **values: Any) -> None:
        """Appends a record; see `MetricLog.write`.

        Args:
            kind: of the record.
            step: of the stage.
            epoch: of the stage.
            values: the others.
        """
        stage = {} if self._stage is None else {"stage": self._stage}
        place = {"step": self._first_step + step, "epoch": self._first_epoch + epoch}
        self._log.write(kind, **stage, **place, **values)

    def records(self) -> list[dict[str, Any]]:
        """All records of the stage."""
        return [record for record in self._log.records() if record.get("stage") == self._stage]

    def has_validated(self) -> bool:
        """Whether a validation has followed a training step of the stage."""
        return any(record["kind"] == "validation" and record["step"] > self._first_step for record in self.records())

    def drop_after(self, step: int, epoch: int) -> None:
        """Removes what is done again from `step` and `epoch` of the stage on; see `MetricLog.drop_after`."""
        self._log.drop_after(self._first_step + step, self._first_epoch + epoch, self._stage)

    def take_over(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes the records of earlier stages, those of another run, where the run has none yet."""
        if self._stage is None or self._log.records():
            return
        for record in records:
            if record.get("stage", self._stage) < self._stage:
                self._log.write(**record)
