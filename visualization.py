"""Figures of a run: its curves, embeddings of the features that `eval.py` scored, and what the model sees.

As a program it draws those of a finished or interrupted run: python visualization.py RUN [--method NAME ...].
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Before the imports below, which take seconds; what follows is the module that main.py imports.
    from figures.command import main

    sys.exit(main())

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from config.figures import MODEL_FIGURES
from config.schema import Config
from figures.chosen_epochs import spread
from figures.colouring import colourings
from figures.embeddings import draw_embeddings
from figures.epochs import draw_epochs, own_colourings
from figures.model_figures import model_drawings
from figures.scatter import draw_scatter, point_sets
from figures.windows import FirstWindows, draw_input, draw_looks
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from protocols.evaluation import Plan
from protocols.predictions import MultiPredictions, Predictions
from runs.epoch_features import read_kept
from runs.reporting.curves import draw_collapse, draw_losses, draw_scores
from runs.reporting.drawing import file_name
from runs.reporting.embedding import METHODS, Method
from runs.reporting.pace import draw_pace
from runs.results import Result
from tasks.task import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnRun:
    """What figures show of a run."""

    config: Config
    plan: Plan
    """Its evaluations."""
    task: Task
    split: EncodedSplit
    """The test videos."""
    results: Sequence[Result]
    """What the evaluations say of them."""
    read: Callable[[], FirstWindows]
    """Reads the windows of the first training batch."""
    epoch_features: Path
    """Folder of the features that validations have kept."""
    encoded: EncodedData
    """Its own data with its encoder; `split` is of it."""
    predictions: Sequence[tuple[str, Predictions | MultiPredictions]] = ()
    """By name of the evaluation, what classifiers say of each test video; where there are none, they are asked."""


def draw_figures(run: DrawnRun, records: Sequence[dict[str, Any]], folder: Path) -> dict[str, str]:
    """Draws all figures of a run anew.

    Args:
        run: whose figures they are.
        records: of its metrics.jsonl.
        folder: of the figures.

    Returns:
        By file name, why some of them could not be drawn: a figure that fails costs neither the scores, which are what
        the run was for, nor another figure.
    """
    config, plan = run.config, run.plan

    def draw_by(method: Method) -> None:
        scores = plan.scores_in_words(run.results, config.choose_by)
        coloured = colourings(run.split)
        draw_embeddings(run.split.features, coloured, folder, config.seed, config.figure_videos, scores, [method])

    def draw_forming() -> None:
        kept = spread(read_kept(run.epoch_features))
        if len(kept) < 2:
            logger.info("no figure over the epochs: features of %d validations are kept", len(kept))
        else:
            val = plan.own.catalogs["val"]
            coloured = own_colourings(config.levels, plan.own.own | plan.own.own_multi, colourings(val))
            draw_epochs("pca", kept, coloured, [*val.table["path"]], folder / "epochs.png", config.seed)

    def draw_points() -> None:
        kept = read_kept(run.epoch_features) if "pca" in config.figures else []
        draw_scatter(point_sets(run.split, plan.own, config.figures, kept), folder)

    first_windows = cache(run.read)  # once for two figures
    drawings: dict[str, Callable[[], object]] = {
        "windows": lambda: draw_input(first_windows(), config, folder),
        "views": lambda: draw_looks(first_windows(), run.task.views, run.task.view_names, config, folder),
        "loss": partial(draw_losses, records, folder),
        "pace": partial(draw_pace, records, folder),
        **{name: partial(draw_scores, name, title, records, folder) for name, title in plan.titles.items()},
        "collapse": partial(draw_collapse, records, folder),
        **{method: partial(draw_by, method) for method in config.figures},
        **model_drawings(run, first_windows, folder),
        **({"epochs": draw_forming} if "pca" in config.figures else {}),  # PCA alone takes no time
        "scatter": draw_points,
    }
    for name in dict.fromkeys([*drawings, *METHODS, *MODEL_FIGURES, "epochs"]):  # those of an earlier part of the run
        (folder / file_name(name)).unlink(missing_ok=True)
    return draw_each(drawings)


def draw_each(drawings: Mapping[str, Callable[[], object]]) -> dict[str, str]:
    """Draws figures, by the names of their files without their ends.

    Returns:
        By file name, why some of them could not be drawn.
    """
    failed = {}
    for name, draw in drawings.items():
        try:
            draw()
        except Exception as error:  # whatever it is
            file = file_name(name)
            failed[file] = " ".join(f"{type(error).__name__}: {error}".split())
            logger.warning("figure %s could not be drawn: %s", file, failed[file])
    return failed
