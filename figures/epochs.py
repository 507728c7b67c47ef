"""How the space forms: the same videos after some of the epochs, each picture laid upon the next as well as it fits."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from figures.chosen_epochs import PAGE
from figures.colouring import Colouring
from figures.legends import TITLE_CELLS
from figures.panels import SMALL_SIDE, Panel, draw_page
from runs.epoch_features import EpochFeatures
from runs.reporting.drawn_text import shortened
from runs.reporting.embedding import METHODS, Method, Points, project, turned, why_not

MIN_SHARED = 3  # points by which one picture can be laid upon another

logger = logging.getLogger(__name__)


def draw_epochs(
    method: Method,
    kept: Sequence[EpochFeatures],
    coloured: Sequence[tuple[str, Colouring | None]],
    videos: Sequence[str],
    path: Path,
    seed: int,
) -> Path:
    """Draws small panels, an epoch each, in rows: of a level and what colours it, and again for the next one.

    Args:
        method: PCA, t-SNE or UMAP.
        kept: the epochs, in the order of training.
        coloured: the levels, each with what its points are coloured by; None: all look alike.
        videos: the paths of the videos of the colourings, in their order.
        path: of the figure.
        seed: t-SNE and UMAP are functions of it.

    Raises:
        InputError: the file cannot be written.
    """
    start = time.perf_counter()
    row_of = {video: row for row, video in enumerate(videos)}
    rows: list[list[Panel]] = []
    done: dict[tuple[str, int], list[Points | str]] = {}
    for level, colouring in coloured:
        parts = colouring.parts if colouring else 1
        having = [each for each in kept if level in each.features.get(parts, {})]
        if (level, parts) not in done:
            done[level, parts] = embedded_epochs(method, having, level, parts, seed)
        name = f"{level} \u00b7 {shortened(colouring.name, TITLE_CELLS)}" if colouring else level
        panels = []
        for each, points in zip(having, done[level, parts], strict=True):
            panels.append(_panel(each.title, points, colouring, [row_of.get(video) for video in each.paths[parts]]))
        for first in range(0, len(panels), PAGE):
            rows.append([replace(panels[first], label=name), *panels[first + 1 : first + PAGE]])
    drawn = draw_page(f"{METHODS[method]} over the epochs, of the same validation videos", rows, path, SMALL_SIDE)
    logger.info("figure %s: %.1f s", drawn.name, time.perf_counter() - start)
    return drawn


def embedded_epochs(
    method: Method, kept: Sequence[EpochFeatures], level: str, parts: int, seed: int
) -> list[Points | str]:
    """Two dimensions per point after each epoch, or why there are none, so that points move as little as they must.

    t-SNE and UMAP begin with the places of the epoch before; then every picture, from the last to the first, is moved,
    turned and mirrored as a whole to lie upon the one after it.

    Args:
        method: PCA, t-SNE or UMAP.
        kept: the epochs; all have the level.
        level: its name.
        parts: K.
        seed: t-SNE and UMAP are functions of it.

    Returns:
        [videos * K, 2] each.
    """
    found: list[Points | str] = []
    before: tuple[list[str], Points] | None = None
    for each in kept:
        values_NKD = each.features[parts][level]
        points = values_NKD.reshape(-1, values_NKD.shape[-1])
        reason = why_not(points)
        if reason is not None:
            found.append(reason)
            continue
        first = before[1] if before and before[0] == each.paths[parts] else None
        places = project(method, points, seed, start=first)
        before = each.paths[parts], places
        found.append(places)
    after: tuple[list[str], Points] | None = None
    for number in range(len(found) - 1, -1, -1):
        embedded, paths = found[number], kept[number].paths[parts]
        if isinstance(embedded, str):
            continue
        laid = embedded if after is None else _laid_upon(embedded, paths, *after, parts)
        found[number], after = laid, (paths, laid)
    return found


def _laid_upon(places: Points, paths: Sequence[str], other_paths: Sequence[str], others: Points, parts: int) -> Points:
    """`places`, turned to lie upon `others`, by the videos that both have; as they are where these are too few."""
    row_of = {path: row for row, path in enumerate(other_paths)}
    both = [(row, row_of[path]) for row, path in enumerate(paths) if path in row_of]
    if len(both) * parts < MIN_SHARED:
        return places
    mine, theirs = np.array(both).T
    shape = (-1, parts, 2)
    shared, fixed = places.reshape(shape)[mine].reshape(-1, 2), others.reshape(shape)[theirs].reshape(-1, 2)
    return turned(places, shared, fixed)


def _panel(title: str, points: Points | str, colouring: Colouring | None, rows: Sequence[int | None]) -> Panel:
    """A panel; videos that the data does not have any more are left out."""
    if colouring is None:
        return Panel(title, points, np.zeros((0, 1), np.int64), None)
    known = np.array([row is not None for row in rows], np.bool_)
    classes = colouring.values[[row for row in rows if row is not None]].reshape(-1, colouring.values.shape[2])
    if not isinstance(points, str):
        points = points[np.repeat(known, colouring.parts)]
        if not len(points):
            points = "none of these videos\nis in the data"
    return Panel(title, points, classes, colouring)


def own_colourings(
    levels: Sequence[str], own: Mapping[str, str], by_name: Mapping[str, Colouring]
) -> list[tuple[str, Colouring | None]]:
    """Every level with the colouring that it is judged by; without one, with the first that there is."""
    first = next(iter(by_name.values()), None)
    return [(level, by_name.get(own.get(level, ""), first)) for level in levels]
