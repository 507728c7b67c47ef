"""Weights & Biases: what is sent there, and when. A thread sends it, so that training never waits for the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import uuid4

import psutil

from config.schema import Config
from runs.folder import RunFolder
from runs.metric_names import STAGE, final_metrics, metrics_of
from runs.process.atomic import write_text
from runs.tracking.background import Background
from runs.tracking.tracker import EmbeddedVideos, Record
from runs.tracking.wandb_key import find_key
from runs.tracking.wandb_session import Session, WandbRun

END_SECONDS = 150.0
"""For everything at the end of a run together; what takes longer hangs."""
_NOTICE_SECONDS = 5.0
"""Time for the thread to notice that W&B's own process is gone."""
_ROWS = 2
"""Rows that a record takes: its own, and that of its stage."""
_HELPER = "wandb-core"
"""W&B's own process."""


class WandbTracker:
    """Sends a run to W&B, or records it offline in `wandb/` of the run folder; see `Tracker`.

    Args:
        config: the whole config.
        run: the run's folder.

    Raises:
        InputError: the key cannot be read, or `mode: online` finds none.
    """

    def __init__(self, config: Config, run: RunFolder) -> None:
        self._config, self._run = config, run
        self._key = find_key(config.wandb)
        self._session: Session
        self._background: Background
        self._stage_begins: dict[int, int] = {}
        """By stage of a curriculum, the step after which it began."""
        self._last_step = 0
        self._row = -1
        """Number of the last row in the table that W&B keeps of a run: it takes them in ascending order, each once."""

    def start(self, earlier: Sequence[Record]) -> None:
        """See `Tracker.start`. A run keeps its id, and what it has sent."""
        # Here, not in the thread: a process that is forked meanwhile would wait for ever for a half-imported module.
        import wandb  # noqa: F401

        file = self._run.wandb / "id.txt"
        is_known = file.is_file()
        self._run.wandb.mkdir(exist_ok=True)
        if not is_known:
            write_text(file, uuid4().hex + "\n")
        self._set_environment()
        self._session = Session(self._about(file.read_text().strip()), self._key, self._config.wandb.mode == "offline")
        self._background = Background("W&B", self._session.drop)
        self._background.call(self._session.open)
        for record in earlier:
            if is_known:
                self._place(record)
            else:
                self.record(record)

    def record(self, record: Record) -> None:
        """See `Tracker.record`."""
        row, step = self._place(record), record.get("step", 0)
        metrics = metrics_of(record)
        self._background.call(lambda: self._session.log(metrics | {"step": step}, "step", row))
        if stage := record.get(STAGE):  # the same on axes of the stage's own
            of_stage = {f"stage_{stage}/{name}": value for name, value in metrics.items()}
            axis = f"stage_{stage}/step"
            own_step = step - self._stage_begins[stage]
            self._background.call(lambda: self._session.log(of_stage | {axis: own_step}, axis, row + 1))

    def results(self, summary: Record, embed: Callable[[], EmbeddedVideos]) -> None:
        """See `Tracker.results`. W&B has no projector, so `embed` is not asked."""
        metrics, at, row = final_metrics(summary), {"step": summary["steps"]}, self._row + _ROWS
        figures = {f"figures/{path.stem}": path for path in sorted(self._run.figures.glob("*.png"))}
        run = self._run
        files = [run.config, run.environment, run.metrics, run.summary, run.report, run.bad_videos, *figures.values()]
        self._background.call(lambda: self._session.summarise(metrics))
        self._background.call(lambda: self._session.show(figures, at, row))
        self._background.call(lambda: self._session.keep(file for file in files if file.is_file()))

    def close(self, finished: bool) -> None:
        """See `Tracker.close`."""
        self._background.call(lambda: self._session.close(finished))
        ended = False
        try:
            ended = self._background.end(END_SECONDS)
        finally:
            if not ended:  # after Ctrl-C, too: W&B's own process would keep the whole program from ending
                self._session.be_silent()
                _end_helper()
                self._background.wait(_NOTICE_SECONDS)
        if not ended:
            raise TimeoutError(f"W&B did not end within {END_SECONDS:.0f} s")

    def _place(self, record: Record) -> int:
        """The row of a record: the same in every part of a run that logs it, so that W&B takes it once."""
        if (stage := record.get(STAGE)) is not None:
            self._stage_begins.setdefault(stage, self._last_step)
        self._last_step = record.get("step", self._last_step)
        # Most steps have one record, some a validation after it, so parts that differ before a step agree after it.
        self._row = max(self._row + _ROWS, 2 * _ROWS * self._last_step)
        return self._row

    def _about(self, run_id: str) -> WandbRun:
        settings = self._config.wandb
        return WandbRun(
            id=run_id,
            name=settings.name or str(self._config.model_name),
            project=settings.project,
            entity=settings.entity,
            tags=settings.tags,
            notes=settings.notes,
            config=self._config.model_dump(mode="json"),
            folder=self._run.root.resolve(),
        )

    def _set_environment(self) -> None:
        """Keeps W&B's files in the run folder, whatever home folder there is, and keeps it from reporting itself."""
        for name in ("DATA", "CACHE"):
            os.environ[f"WANDB_{name}_DIR"] = str(self._run.wandb.resolve() / name.lower())
        os.environ["WANDB_ERROR_REPORTING"] = "false"


def _end_helper() -> None:
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if process.name() == _HELPER:
                process.kill()
