"""Points for videos, coloured by their labels: PCA, t-SNE and UMAP of the features that `eval.py` scored."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from runs.process.seeds import numpy_generator
from runs.reporting.drawing import COLOURS, MARKERS, STYLE, save_figure
from runs.reporting.drawn_text import Lettering, width
from runs.reporting.embedding import METHODS, Method, embed

logger = logging.getLogger(__name__)

MAX_LEGEND = 24  # classes; more would push the panels off the page
LEGEND_CELLS = {4: 9, 2: 17, 1: 42}  # of a line, by number of columns
TITLE_CELLS = 20  # of a label set's name


def draw_embeddings(
    features: Mapping[int, Mapping[str, NDArray[np.float32]]],
    labels: Mapping[str, LabelSet],
    folder: Path,
    seed: int,
    max_videos: int,
    scores: Mapping[tuple[str, str], str] | None = None,
    methods: Sequence[Method] | None = None,
) -> list[Path]:
    """Draw `pca.png`, `tsne.png` and `umap.png`: a row per level, a column per label set, a point per labelled part.

    Without label sets there is one column, of points without colours.

    Features are centred and L2-normalised, as kNN compares them, and reduced to 50 dimensions by PCA before t-SNE
    and UMAP. Data that cannot be drawn (fewer than 10 points, collapsed or non-finite features) gives a panel that
    says so.

    Args:
        features: `features[K][level]` [N, K, D], for every number of parts K that a label set has.
        labels: the label sets by name, `values` [N, K] in the order of the features.
        folder: where the figures go.
        seed: the drawn videos and the embeddings are functions of it.
        max_videos: videos drawn at K = 1; at more parts fewer, so that no panel has more points than this.
        scores: by (level, label set), a score in words, for the panels' titles.
        methods: which of the figures; None: all.

    Returns:
        The paths of the figures.

    Raises:
        ValueError: features and labels are not of the same videos and parts.
        InputError: a figure cannot be written.
    """
    drawn = {parts: _drawn_points(of_level, parts, seed, max_videos) for parts, of_level in features.items()}
    for name, label_set in labels.items():
        for level, values in features[label_set.values.shape[1]].items():
            if values.shape[:2] != label_set.values.shape:
                raise ValueError(f"{level}: features {values.shape} do not fit labels {name} {label_set.values.shape}")
    paths = []
    for method in METHODS if methods is None else dict.fromkeys(methods):
        start = time.perf_counter()
        embedded = {
            parts: {level: embed(method, points, seed) for level, points in of_level.items()}
            for parts, (_, of_level) in drawn.items()
        }
        videos = {parts: chosen for parts, (chosen, _) in drawn.items()}
        path = folder / f"{method}.png"
        _draw_grid(METHODS[method], embedded, videos, labels, scores or {}, path)
        logger.info("figure %s: %.1f s", path.name, time.perf_counter() - start)
        paths.append(path)
    return paths


def _drawn_points(
    of_level: Mapping[str, NDArray[np.float32]], parts: int, seed: int, max_videos: int
) -> tuple[NDArray[np.intp], dict[str, NDArray[np.float64]]]:
    """Draw videos; their indices, and per level the features of their parts [points, D]."""
    total = min((len(values) for values in of_level.values()), default=0)
    count = min(total, max(1, max_videos // parts))
    chosen = np.sort(numpy_generator(seed, total).permutation(total)[:count])
    return chosen, {
        level: values[chosen].reshape(-1, values.shape[-1]).astype(np.float64) for level, values in of_level.items()
    }


def _draw_grid(
    title: str,
    embedded: Mapping[int, Mapping[str, NDArray[np.float64] | str]],
    videos: Mapping[int, NDArray[np.intp]],
    labels: Mapping[str, LabelSet],
    scores: Mapping[tuple[str, str], str],
    path: Path,
) -> None:
    levels = list(next(iter(embedded.values()), {}))
    letters = Lettering()
    legends = {name: _Legend.of(label_set, letters) for name, label_set in labels.items()}
    titles = {name: letters.text(name, TITLE_CELLS) for name in labels}
    legend = max((legend.height for legend in legends.values()), default=0)
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((3.4 * max(1, len(labels)), 0.4 + 3.2 * len(levels) + legend), layout="constrained")
        fig.suptitle(f"{title} of the features of each level", fontsize=12, fontweight="bold")
        heights = [3.2] * len(levels) + [legend]
        if not labels:
            _draw_without_labels(fig, embedded[1], levels)
            save_figure(fig, path)
            return
        axes = fig.subplots(len(heights), len(labels), squeeze=False, height_ratios=heights)
        for column, (name, label_set) in zip(axes.T, labels.items(), strict=True):
            parts = label_set.values.shape[1]
            classes = label_set.values[videos[parts]].reshape(-1)
            for ax, level in zip(column, levels, strict=False):
                _draw_panel(ax, embedded[parts][level], classes, len(label_set.classes))
                score = scores.get((level, name))
                ax.set_title(f"{level} \u00b7 {titles[name]}" + (f"   {score}" if score else ""), parse_math=False)
            legends[name].draw(column[-1], titles[name])
        save_figure(fig, path)


def _draw_without_labels(fig: Figure, embedded: Mapping[str, NDArray[np.float64] | str], levels: Sequence[str]) -> None:
    """A panel per level; all points look like those of one class, as grey dots alone would hardly be seen."""
    for ax, level in zip(fig.subplots(len(levels), 1, squeeze=False)[:, 0], levels, strict=True):
        points = embedded[level]
        _draw_panel(ax, points, np.zeros(0 if isinstance(points, str) else len(points), np.int64), 1)
        ax.set_title(level, parse_math=False)


def _draw_panel(ax: Axes, points: NDArray[np.float64] | str, classes: NDArray[Any], count: int) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    if isinstance(points, str):
        ax.text(0.5, 0.5, points, ha="center", va="center", transform=ax.transAxes, color="#a33")
        return
    looks = [_look(value, count) for value in classes]
    for marker in dict.fromkeys(look["marker"] for look in looks):
        mine = [i for i, look in enumerate(looks) if look["marker"] == marker]
        look = {"s": 11, "alpha": 0.8, "linewidths": 0, "marker": marker, "color": [looks[i]["color"] for i in mine]}
        ax.scatter(points[mine, 0], points[mine, 1], **look)


@dataclass(frozen=True)
class _Legend:
    """The classes of a label set as they are drawn below its panels."""

    names: list[str]
    """Wrapped; of the classes that there is room for."""
    columns: int
    classes: int
    """All of them."""

    @classmethod
    def of(cls, label_set: LabelSet, letters: Lettering) -> _Legend:
        classes = label_set.classes[:MAX_LEGEND]
        widest = max((width(letters.text(name, sys.maxsize)) for name in classes), default=0)
        columns = next((columns for columns, cells in LEGEND_CELLS.items() if widest <= cells), 1)
        names = [letters.text(name, LEGEND_CELLS[columns], lines=3) for name in classes]
        return cls(names, columns, len(label_set.classes))

    @property
    def height(self) -> float:
        """Inches, its title included."""
        lines = [name.count("\n") + 1 for name in self.names]
        rows = -(-len(lines) // self.columns)
        columns = [lines[start : start + rows] for start in range(0, len(lines), rows or 1)]
        return 0.35 + max((0.15 * sum(column) + 0.06 * len(column) for column in columns), default=0)

    def draw(self, ax: Axes, title: str) -> None:
        handles = [
            Line2D([], [], linestyle="", markersize=5.5, label=name, **_look(value, self.classes))
            for value, name in enumerate(self.names)
        ]
        more = f" ({MAX_LEGEND} of {self.classes} classes)" if self.classes > MAX_LEGEND else ""
        spacing = {"borderaxespad": 0, "columnspacing": 1, "handletextpad": 0.1, "labelspacing": 0.25}
        ax.axis("off")
        legend = ax.legend(handles=handles, title=title + more, loc="upper center", ncols=self.columns, **spacing)
        for text in (legend.get_title(), *legend.get_texts()):
            text.set_parse_math(False)


def _look(value: int, count: int) -> dict[str, Any]:
    """Colour and marker of class `value` of `count`; grey where it is unknown."""
    if value < 0:
        return {"color": "#cccccc", "marker": "."}
    colour = COLOURS[value] if count <= len(COLOURS) else mpl.colormaps["turbo"]((value + 0.5) / count)
    return {"color": colour, "marker": MARKERS[value % len(MARKERS)]}
