"""Points for videos, coloured by their labels: PCA, t-SNE and UMAP of the features that `eval.py` scored."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from figures.colouring import Colouring
from figures.drawn_videos import drawn_videos
from figures.legends import TITLE_CELLS
from figures.panels import Panel, draw_page
from runs.reporting.drawn_text import shortened
from runs.reporting.embedding import METHODS, Method, Points, embed

logger = logging.getLogger(__name__)

Features = Mapping[int, Mapping[str, NDArray[np.float32]]]
"""By number of parts K and level: [N, K, D]."""


def draw_embeddings(
    features: Features,
    colourings: Mapping[str, Colouring],
    folder: Path,
    seed: int,
    max_videos: int,
    scores: Mapping[tuple[str, str], str] | None = None,
    methods: Sequence[Method] | None = None,
    names: Mapping[Method, str] | None = None,
) -> list[Path]:
    """Draws `pca.png`, `tsne.png` and `umap.png`: a row per level, a column per colouring, a point per part of a video.

    Without colourings there is one column, of points that look alike.

    Features are centred and L2-normalised, as kNN compares them, and reduced to 50 dimensions by PCA before t-SNE
    and UMAP. Data that cannot be drawn (fewer than 10 points, collapsed or non-finite features) gives a panel that
    says so.

    Args:
        features: for every number of parts K that a colouring has.
        colourings: by name, of the videos in the order of the features.
        folder: where the figures go.
        seed: the drawn videos and the embeddings are functions of it.
        max_videos: videos drawn at K = 1; at more parts fewer, so that no panel has more points than this.
        scores: by (level, name of a colouring), a score in words, for the panels' titles.
        methods: which of the figures; None: all.
        names: of the files, without their ends; None: those above.

    Returns:
        The paths of the figures.

    Raises:
        ValueError: features and colourings are not of the same videos and parts.
        InputError: a figure cannot be written.
    """
    wanted = {colouring.parts for colouring in colourings.values()} or {1}
    drawn = {parts: drawn_points(features[parts], parts, seed, max_videos) for parts in sorted(wanted)}
    for name, colouring in colourings.items():
        for level, values in features[colouring.parts].items():
            if values.shape[:2] != colouring.values.shape[:2]:
                raise ValueError(f"{level}: features {values.shape} do not fit {name} {colouring.values.shape}")
    paths = []
    for method in METHODS if methods is None else dict.fromkeys(methods):
        start = time.perf_counter()
        embedded = {
            parts: {level: embed(method, points, seed) for level, points in of_level.items()}
            for parts, (_, of_level) in drawn.items()
        }
        rows = _rows(embedded, {parts: chosen for parts, (chosen, _) in drawn.items()}, colourings, scores or {})
        path = folder / f"{(names or {}).get(method, method)}.png"
        path = draw_page(f"{METHODS[method]}: features of each level", rows, path)
        logger.info("figure %s: %.1f s", path.name, time.perf_counter() - start)
        paths.append(path)
    return paths


def drawn_points(
    of_level: Mapping[str, NDArray[np.float32]], parts: int, seed: int, max_videos: int
) -> tuple[NDArray[np.intp], dict[str, Points]]:
    """Draws videos; their indices, and per level the features of their parts [points, D]."""
    total = min((len(values) for values in of_level.values()), default=0)
    chosen = drawn_videos(total, parts, seed, max_videos)
    return chosen, {
        level: values[chosen].reshape(-1, values.shape[-1]).astype(np.float64) for level, values in of_level.items()
    }


def _rows(
    embedded: Mapping[int, Mapping[str, Points | str]],
    videos: Mapping[int, NDArray[np.intp]],
    colourings: Mapping[str, Colouring],
    scores: Mapping[tuple[str, str], str],
) -> list[list[Panel]]:
    """A row for every level."""
    levels = list(next(iter(embedded.values()), {}))
    if not colourings:
        return [[Panel(level, embedded[1][level], np.zeros((0, 1), np.int64), None)] for level in levels]
    rows = []
    for level in levels:
        row = []
        for name, colouring in colourings.items():
            classes = colouring.values[videos[colouring.parts]].reshape(-1, colouring.values.shape[2])
            score = scores.get((level, name))
            title = f"{level} \u00b7 {shortened(name, TITLE_CELLS)}" + (f": {score}" if score else "")
            row.append(Panel(title, embedded[colouring.parts][level], classes, colouring))
        rows.append(row)
    return rows
