"""What neighbours, minimum distance and perplexity do to a picture: the same points, a panel for each combination."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from figures.colouring import Colouring
from figures.embeddings import drawn_points
from figures.legends import TITLE_CELLS
from figures.panels import Panel, draw_page
from runs.reporting.drawn_text import shortened
from runs.reporting.embedding import KNOBS, METHODS, Knobs, Method, Points, project, reduced, why_not

SIDE = 2.5  # inches of a panel
COLUMNS = 4  # panels side by side

logger = logging.getLogger(__name__)

Values = Mapping[str, Sequence[float]]
"""The values of every parameter, by its name in `Knobs`."""


def draw_grid(
    method: Method,
    values: Values,
    features_NKD: NDArray[np.float32],
    level: str,
    colouring: Colouring | None,
    path: Path,
    seed: int,
    max_videos: int,
) -> Path:
    """Draws every combination of a method's parameters, each under its numbers.

    Args:
        method: t-SNE or UMAP.
        values: of its parameters; one that is not named keeps its default.
        features_NKD: of the level.
        level: its name.
        colouring: of the N videos and K parts; None: all points look alike.
        path: of the figure.
        seed: the drawn videos and the embeddings are functions of it.
        max_videos: as in `draw_embeddings`.

    Raises:
        InputError: the file cannot be written.
    """
    start = time.perf_counter()
    parts = features_NKD.shape[1]
    videos, of_level = drawn_points({level: features_NKD}, parts, seed, max_videos)
    points = of_level[level]
    reason = why_not(points)
    small = None if reason else reduced(points, seed)
    classes = np.zeros((0, 1), np.int64)
    if colouring is not None:
        classes = colouring.values[videos].reshape(-1, colouring.values.shape[2])
    rows = []
    for row in combinations(method, values, len(points)):
        panels = []
        for knobs in row:
            places: Points | str = reason or ""
            if small is not None:
                places = project(method, small, seed, knobs)
            panels.append(Panel(knobs.text(method), places, classes, colouring))
        rows += [panels[first : first + COLUMNS] for first in range(0, len(panels), COLUMNS)]
    name = f"{level} \u00b7 {shortened(colouring.name, TITLE_CELLS)}" if colouring else level
    drawn = draw_page(f"{METHODS[method]} of {name}: what its parameters do", rows, path, SIDE)
    logger.info("figure %s: %.1f s", drawn.name, time.perf_counter() - start)
    return drawn


def combinations(method: Method, values: Values, count: int) -> list[list[Knobs]]:
    """The combinations of a method's parameters, a row for each value of the last one.

    What is too large for as few as `count` points is lowered; combinations that then are the same are drawn once.
    """
    *before, last = KNOBS[method]
    lists = {name: values.get(name, [getattr(Knobs(), name)]) for name in KNOBS[method]}
    rows, seen = [], set()
    for value in lists[last]:
        row = []
        for others in product(*(lists[name] for name in before)):
            changes = dict(zip(before, others, strict=True)) | {last: value}
            knobs = replace(Knobs(), **changes).for_points(count)
            if knobs not in seen:
                row.append(knobs)
            seen.add(knobs)
        rows.append(row)
    if not before:  # one parameter: its values side by side
        rows = [[knobs for row in rows for knobs in row]]
    return [row for row in rows if row]
