"""The figures that a command line asks for, by the names of their files: embeddings, over epochs, and of parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from config.errors import InputError
from data_utils.catalog.catalog import Catalog
from figures.chosen_epochs import chosen_epochs
from figures.colouring import GROUP, Colouring, colourings, groups_colouring
from figures.embeddings import draw_embeddings
from figures.epochs import draw_epochs, own_colourings
from figures.finished_runs import FinishedRun
from figures.grids import draw_grid
from figures.request import GRID_OF, METHODS, DrawRequest, hint
from protocols.encoded_split import EncodedSplit
from runs.reporting.embedding import Method

Drawings = Mapping[str, Callable[[], object]]
NO_COLOUR = "none"


def asked_drawings(run: FinishedRun, request: DrawRequest, folder: Path) -> Drawings:
    """The drawings that a request asks for; nothing is drawn yet.

    Args:
        run: whose they are.
        request: chooses among them.
        folder: where the files go.

    Raises:
        InputError: the run has no such label set or epoch.
    """
    levels = [level for level in run.config.levels if request.levels is None or level in request.levels]
    _coloured(run, request, run.encoded.catalogs["test"])  # a typo must not wait until they are encoded
    drawings: dict[str, Callable[[], object]] = {}
    if request.epochs is not None:
        drawings |= _over_epochs(run, request, levels, folder)
    if request.grid is not None:
        drawings |= _grids(run, request, request.grid, levels, folder)
    if request.epochs is None and request.grid is None:
        drawings |= _embeddings(run, request, levels, folder)
    return drawings


def _methods(run: FinishedRun, request: DrawRequest) -> list[Method]:
    return list(dict.fromkeys(request.methods or run.config.figures or METHODS))


def _coloured(run: FinishedRun, request: DrawRequest, of: EncodedSplit | Catalog) -> dict[str, Colouring] | None:
    """What is asked for, by name; None where nothing says it; {} where all points are to look alike."""
    if request.colour_by is None:
        return None
    there, groups = colourings(of), groups_colouring(of)
    if groups is not None:
        there.setdefault(GROUP, groups)
    if request.colour_by == [NO_COLOUR] and NO_COLOUR not in there:
        return {}
    for name in request.colour_by:
        if name in there:
            continue
        if name == GROUP:
            raise InputError(f"--color-by {GROUP}: {run.plan.own.name} does not say the groups of its videos")
        if name in run.plan.own.catalogs["test"].annotations:
            raise InputError(f"--color-by {name}: no video that is drawn has such a label")
        raise InputError(f"--color-by {name}: {hint(name, [*there, NO_COLOUR])}")
    return {name: there[name] for name in dict.fromkeys(request.colour_by)}


def _name(*parts: str) -> str:
    """A file's name of names that may come from data, without a suffix."""
    return "-".join(re.sub(r"[^\w.+]+", "_", part)[:40].strip("_.") or "_" for part in parts)


def _embeddings(run: FinishedRun, request: DrawRequest, levels: Sequence[str], folder: Path) -> Drawings:
    split, config = run.encoded.split("test"), run.config
    chosen = _coloured(run, request, split)
    coloured = colourings(split) if chosen is None else chosen
    features = {parts: {level: of_level[level] for level in levels} for parts, of_level in split.features.items()}
    scores = run.plan.scores_in_words(run.results, config.choose_by)
    # Where only some are drawn, the figure of all of them stays.
    suffix = [*(levels if request.levels else ()), *(request.colour_by or ())]

    def draw(method: Method, stem: str) -> None:
        draw_embeddings(features, coloured, folder, config.seed, config.figure_videos, scores, [method], {method: stem})

    stems = {method: _name(method, *suffix) for method in _methods(run, request)}
    return {stem: partial(draw, method, stem) for method, stem in stems.items()}


def _over_epochs(run: FinishedRun, request: DrawRequest, levels: Sequence[str], folder: Path) -> Drawings:
    val, config = run.plan.own.catalogs["val"], run.config
    kept = chosen_epochs(request)
    chosen = _coloured(run, request, val)
    suffix = [*(levels if request.levels else ()), *(request.colour_by or ())]
    rows: list[tuple[str, Colouring | None]]
    if chosen is None:
        rows = own_colourings(levels, run.plan.own.own | run.plan.own.own_multi, colourings(val))
    else:
        rows = [(level, colouring) for colouring in chosen.values() for level in levels]
        rows = rows or [(level, None) for level in levels]
    videos = [str(path) for path in val.table["path"]]
    drawings = {}
    for method in _methods(run, request):
        stem = _name(method, "epochs", *suffix)
        path = folder / f"{stem}.png"
        drawings[stem] = partial(draw_epochs, method, kept, rows, videos, path, config.seed)
    return drawings


def _grids(
    run: FinishedRun, request: DrawRequest, grid: dict[str, list[float]], levels: Sequence[str], folder: Path
) -> Drawings:
    split, config = run.encoded.split("test"), run.config
    chosen = _coloured(run, request, split)
    rows: list[tuple[str, Colouring | None]]
    if chosen is None:
        rows = own_colourings(levels, run.plan.own.own | run.plan.own.own_multi, colourings(split))
    else:
        rows = [(level, colouring) for level in levels for colouring in chosen.values()]
        rows = rows or [(level, None) for level in levels]
    drawings: dict[str, Callable[[], object]] = {}
    for method in dict.fromkeys(GRID_OF[name] for name in grid):
        for level, colouring in rows:
            features_NKD = split.features[colouring.parts if colouring else 1][level]
            stem = _name(method, "grid", level, *([colouring.name] if colouring else ()))
            path = folder / f"{stem}.png"
            drawings[stem] = partial(
                draw_grid, method, grid, features_NKD, level, colouring, path, config.seed, config.figure_videos
            )
    return drawings
