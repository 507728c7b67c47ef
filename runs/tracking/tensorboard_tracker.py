"""TensorBoard: scalars, figures, and the test videos in its projector, as files in `tensorboard/` of the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from runs.folder import RunFolder
from runs.metric_names import final_metrics, metrics_of
from runs.tracking.tracker import EmbeddedVideos, Record

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SECONDS_BETWEEN_FLUSHES = 30


class TensorBoardTracker:
    """Writes event files; see `Tracker`.

    Args:
        config: the whole config.
        run: the run's folder.
    """

    def __init__(self, config: Config, run: RunFolder) -> None:
        self._run = run
        self._opened: SummaryWriter | None = None

    @property
    def _writer(self) -> SummaryWriter:
        if self._opened is None:
            raise RuntimeError("a tracker is started before it is told anything")
        return self._opened

    def start(self, earlier: Sequence[Record]) -> None:
        """See `Tracker.start`. What an earlier part of the run wrote and this one writes again is hidden."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._run.tensorboard
        is_new = not any(folder.glob("events.*"))
        step = max((record.get("step", 0) for record in earlier), default=0)
        self._opened = SummaryWriter(
            str(folder), purge_step=None if is_new else step, flush_secs=_SECONDS_BETWEEN_FLUSHES
        )
        for record in earlier:
            # Hidden is all from that step on, the points of the records that stay included.
            if is_new or record.get("step", 0) >= step:
                self.record(record)

    def record(self, record: Record) -> None:
        """See `Tracker.record`."""
        self._scalars(metrics_of(record), record.get("step", 0))

    def results(self, summary: Record, embed: Callable[[], EmbeddedVideos]) -> None:
        """See `Tracker.results`."""
        self._scalars(final_metrics(summary), summary["steps"])
        for path in sorted(self._run.figures.glob("*.png")):
            self._writer.add_image(f"figures/{path.stem}", _pixels(path), summary["steps"], dataformats="HWC")
        self._writer.flush()
        self._project(embed(), summary["best_step"])

    def close(self, finished: bool) -> None:
        """See `Tracker.close`."""
        if self._opened is not None:
            self._opened.close()

    def _scalars(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def _project(self, videos: EmbeddedVideos, step: int) -> None:
        """Shows the videos in the features of every level of the encoder after `step` steps."""
        import torch

        for old in self._run.tensorboard.glob("[0-9]*"):  # of an earlier end of this run
            shutil.rmtree(old)
        header = [_cell(title) for title in videos.texts]
        rows: list[Any] = [[_cell(text) for text in texts] for texts in zip(*videos.texts.values(), strict=True)]
        if len(header) == 1:  # a table of one column has no header
            header, rows = [], [row[0] for row in rows]
        pictures_NCHW = torch.from_numpy(videos.thumbnails_NCHW).float() / 255
        for level, features_ND in videos.features.items():
            self._writer.add_embedding(features_ND, rows, pictures_NCHW, step, level, header or None)


def _cell(text: str) -> str:
    """The text as a cell of a table with tabs between its columns."""
    return " ".join(text.split())


def _pixels(path: Path) -> NDArray[np.uint8]:
    """The picture of a PNG file: [H, W, 3]."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
