"""Figures of a run: embeddings of the features that `eval.py` scored, training curves, and what the model sees."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from data_utils.labels import LabelSet
from runs.atomic import atomic_write
from runs.drawn_text import Lettering, width
from runs.embedding import METHODS, Method, embed
from runs.seeds import numpy_generator

logger = logging.getLogger(__name__)

# The collapse monitors in the order in which they are drawn: by name, the title of the panel.
MONITORS = {
    "rank": "effective rank",
    "lidar": "LiDAR",
    "std": "standard deviation",
    "shuffled_up": "up: error / shuffled",
    "shuffled_down": "down: error / shuffled",
    "shuffled_side": "side: error / shuffled",
    "grad_norm": "gradient norm",
    "cka": "CKA of two levels",
}

# Twelve colours that stay apart for colour-blind readers and on grey print; markers help where they are not enough.
COLOURS = [
    *("#332288", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#882255"),
    *("#999933", "#0072b2", "#d55e00", "#44aa99", "#555555", "#ddcc77"),
]
MARKERS = "os^D"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}
DPI = 110
MAX_LEGEND = 24  # classes; more would push the panels off the page
LEGEND_CELLS = {4: 9, 2: 17, 1: 42}  # of a line, by number of columns
TITLE_CELLS = 20  # of a label set's name
CAPTION_CELLS = 110
FRAME_SIDE = 64  # pixels: smaller frames are enlarged at least to this
ROW_FRAMES = 16  # frames side by side before a strip of windows is broken, at clip borders


# ------------------------------------------------------------------------------------------------- embeddings


def draw_embeddings(
    features: Mapping[int, Mapping[str, NDArray[np.float32]]],
    labels: Mapping[str, LabelSet],
    folder: Path,
    seed: int,
    max_videos: int,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    methods: Sequence[Method] | None = None,
) -> list[Path]:
    """Draw `pca.png`, `tsne.png` and `umap.png`: a row per level, a column per label set, a point per labelled part.

    Features are centred and L2-normalised, as kNN compares them, and reduced to 50 dimensions by PCA before t-SNE
    and UMAP. Data that cannot be drawn (fewer than 10 points, collapsed or non-finite features) gives a panel that
    says so.

    Args:
        features: `features[K][level]` [N, K, D], for every number of parts K that a label set has.
        labels: the label sets by name, `values` [N, K] in the order of the features.
        folder: where the figures go.
        seed: the drawn videos and the embeddings are functions of it.
        max_videos: videos drawn at K = 1; at more parts fewer, so that no panel has more points than this.
        scores: `scores[level][labels]`, kNN in percent, for the panels' titles.
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
    scores: Mapping[str, Mapping[str, float]],
    path: Path,
) -> None:
    levels = list(next(iter(embedded.values()), {}))
    letters = Lettering()
    legends = {name: _Legend.of(label_set, letters) for name, label_set in labels.items()}
    titles = {name: letters.text(name, TITLE_CELLS) for name in labels}
    legend = max((legend.height for legend in legends.values()), default=0)
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((3.4 * len(labels), 0.4 + 3.2 * len(levels) + legend), layout="constrained")
        fig.suptitle(f"{title} of the features of each level", fontsize=12, fontweight="bold")
        heights = [3.2] * len(levels) + [legend]
        axes = fig.subplots(len(heights), len(labels), squeeze=False, height_ratios=heights)
        for column, (name, label_set) in zip(axes.T, labels.items(), strict=True):
            parts = label_set.values.shape[1]
            classes = label_set.values[videos[parts]].reshape(-1)
            for ax, level in zip(column, levels, strict=False):
                score = scores.get(level, {}).get(name)
                _draw_panel(ax, embedded[parts][level], classes, len(label_set.classes))
                title = f"{level} \u00b7 {titles[name]}" + ("" if score is None else f"   kNN {score:.1f} %")
                ax.set_title(title, parse_math=False)
            legends[name].draw(column[-1], titles[name])
        _save(fig, path)


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


# ----------------------------------------------------------------------------------------------------- curves


def draw_curves(records: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw `loss.png`, `knn.png` and `collapse.png` from the records of metrics.jsonl, those that there is data for.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a figure cannot be written.
    """
    drawn = [draw_curve(curve, records, folder) for curve in CURVES]
    return [path for path in drawn if path is not None]


def draw_curve(curve: str, records: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw one of the figures of `draw_curves`; its path, or None where there is no data for it."""
    kind, key, draw = CURVES[curve]
    records = [record for record in records if record["kind"] == kind]
    if not any(record.get(key) for record in records):
        return None
    with mpl.rc_context(STYLE):
        return draw(records, folder / f"{curve}.png")


def _draw_losses(steps: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Above the terms of each level's loss, below the norm of its gradient, or of all where levels share one."""
    levels, groups = _names(steps, "loss"), _names(steps, "grad_norm")
    terms = list(dict.fromkeys(term for level in levels for term in _names(steps, "loss", level)))
    fig = Figure((3.7 * len(levels), 5.2), layout="constrained")
    axes = fig.subplots(2, len(levels), squeeze=False, sharex=True, height_ratios=[3, 1.3])
    for (above, below), level in zip(axes.T, levels, strict=True):
        for term in _names(steps, "loss", level):
            _plot(above, steps, ("loss", level, term), label=term, color=COLOURS[terms.index(term) % len(COLOURS)])
        above.set_title(f"loss of {level}")
        _log_if_wide(above)
        above.legend(*above.get_legend_handles_labels())
        for index, group in enumerate([level] if level in groups else groups):
            _plot(below, steps, ("grad_norm", group), color=["#555555", *COLOURS][index % len(COLOURS)])
        _log_if_wide(below)
        below.set(title="gradient norm", xlabel="step")
    return _save(fig, path)


def _draw_knn(validations: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """A panel per level and label set: the score, and the two floors that it must leave behind."""
    levels = _names(validations, "knn")
    letters = Lettering()
    labels = list(dict.fromkeys(name for level in levels for name in _names(validations, "knn", level)))
    titles = [letters.text(name, TITLE_CELLS) for name in labels]
    mpl.rcParams.update(cast("Any", letters.style))  # until the context of `draw_curve` ends
    fig = Figure((3.4 * len(labels), 0.5 + 2.2 * len(levels)), layout="constrained")
    axes = fig.subplots(len(levels), len(labels), squeeze=False, sharex=True, sharey="col")
    for row, level in enumerate(levels):
        for column, name in enumerate(labels):
            ax, key = axes[row, column], ("knn", level, name)
            _plot(ax, validations, (*key, "top1"), label="kNN", color="#0072b2", marker="o", markersize=4)
            _plot(ax, validations, (*key, "random_init"), label="random init", color="#d55e00", linestyle="--")
            _plot(ax, validations, (*key, "chance"), label="chance", color="#555555", linestyle=":")
            ax.set_title(f"{level} \u00b7 {titles[column]}", parse_math=False)
        axes[row, 0].set_ylabel("top-1, %")
    for ax in axes[-1]:
        ax.set_xlabel("step")
        ax.set_ylim(bottom=0)  # last of all: it ends the column's scaling to its data
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return _save(fig, path)


def _draw_collapse(validations: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """A panel per collapse monitor, a line per level beside its value at init; vertical lines where alarms were raised.

    Colours are the levels', the same in all panels; pairs of levels, which CKA compares, have further ones.
    """
    # A validation keeps rank and std by themselves and all others in `monitors`: here they are alike.
    records = [record | (record.get("monitors") or {}) for record in map(dict, validations)]
    shown = [name for name in MONITORS if _names(records, name)]
    names = list(dict.fromkeys(name for monitor in shown for name in _names(records, monitor)))
    rows = -(-len(shown) // 3)
    fig = Figure((9.6, 0.3 + 2.6 * rows), layout="constrained")
    axes = fig.subplots(rows, 3, squeeze=False).reshape(-1)
    for ax, monitor in zip(axes, shown, strict=False):
        for name in _names(records, monitor):
            index = names.index(name)
            colour = COLOURS[index % len(COLOURS)]
            look = {"color": colour, "marker": MARKERS[index % len(MARKERS)], "markersize": 4}
            _plot(ax, records, (monitor, name), label=name, **look)
            at_init = _values(records, (monitor, name))[0]
            if np.isfinite(at_init):
                ax.axhline(at_init, color=colour, linestyle="--", linewidth=0.9, alpha=0.7)
        _log_if_wide(ax)
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0)
        for index, record in enumerate(record for record in records if record.get("alarms")):
            ax.axvline(record["step"], color="#c00000", linewidth=1.5, label=None if index else "alarm")
        ax.set(title=MONITORS[monitor], xlabel="step")
        ax.legend(*ax.get_legend_handles_labels(), fontsize=8)
    for ax in axes[len(shown) :]:
        ax.axis("off")
    return _save(fig, path)


# By figure: the kind of the records, the key that some of them must have, and what draws them.
CURVES: dict[str, tuple[str, str, Callable[[Sequence[Mapping[str, Any]], Path], Path]]] = {
    "loss": ("step", "loss", _draw_losses),
    "knn": ("validation", "knn", _draw_knn),
    "collapse": ("validation", "rank", _draw_collapse),
}


def _plot(ax: Axes, records: Sequence[Mapping[str, Any]], keys: tuple[str, ...], **look: Any) -> None:
    values = _values(records, keys)
    known = np.isfinite(values)
    if known.any():
        ax.plot(np.array([record["step"] for record in records])[known], values[known], **look)


def _values(records: Sequence[Mapping[str, Any]], keys: tuple[str, ...]) -> NDArray[np.float64]:
    """`record[keys[0]][keys[1]]...` of every record; NaN where it is absent or null."""
    values = []
    for record in records:
        value: Any = record
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        values.append(np.nan if value is None else float(value))
    return np.array(values)


def _names(records: Sequence[Mapping[str, Any]], *keys: str) -> list[str]:
    """Keys of the mapping at `keys`, over all records, in their order."""
    names: dict[str, None] = {}
    for value in records:
        for key in keys:
            value = value.get(key) or {}
        names.update(dict.fromkeys(value))
    return list(names)


def _log_if_wide(ax: Axes) -> None:
    """Draw values that span more than two orders of magnitude on a logarithmic axis."""
    values = np.concatenate([np.ones(0), *(np.asarray(line.get_ydata(), dtype=float) for line in ax.lines)])
    if values.size and 0 < values.min() < values.max() / 100:
        ax.set_yscale("log")


# ---------------------------------------------------------------------------------------------------- windows


def draw_windows(windows: NDArray[np.uint8], captions: Sequence[str], clips: int, path: Path) -> Path:
    """Draw decoded input windows as strips of frames, with wider gaps between clips.

    Small frames are enlarged with nearest neighbour, so that one sees the pixels that the model sees.

    Args:
        windows: [W, T, H, W, 3].
        captions: one for each window.
        clips: clips of a window; T is a multiple of it.
        path: the PNG file to write.

    Returns:
        `path`.

    Raises:
        ValueError: `windows` has another shape, or captions or clips do not fit it.
        InputError: the figure cannot be written.
    """
    _check_windows(windows, captions, clips)
    return _draw_strips([_strip(window, clips) for window in windows], list(captions), path)


def draw_views(
    windows: NDArray[np.uint8],
    looks: Mapping[str, NDArray[np.uint8]],
    captions: Sequence[str],
    clips: int,
    path: Path,
) -> Path:
    """Draw windows as `draw_windows` does, and beneath each of them a strip for everything that is made of it.

    Args:
        windows: [W, T, H, W, 3], as they are read.
        looks: the same windows after augmentation, by the text to write above them; frames may have another size.
        captions: one for each window.
        clips: clips of a window; T is a multiple of it.
        path: the PNG file to write.

    Returns:
        `path`.

    Raises:
        ValueError: `windows` or a look has another shape, or captions or clips do not fit it.
        InputError: the figure cannot be written.
    """
    for pixels in (windows, *looks.values()):
        _check_windows(pixels, captions, clips)
    strips, titles = [], []
    for index, caption in enumerate(captions):
        strips.append(_strip(windows[index], clips))
        titles.append(caption)
        for name, pixels in looks.items():
            strips.append(_strip(pixels[index], clips))
            titles.append(name)
    return _draw_strips(strips, titles, path, group=1 + len(looks))


def _check_windows(windows: NDArray[np.uint8], captions: Sequence[str], clips: int) -> None:
    if windows.ndim != 5 or len(captions) != len(windows) or windows.shape[1] % clips:
        raise ValueError(f"{len(captions)} captions and {clips} clips do not fit windows {windows.shape}")


def _draw_strips(strips: Sequence[NDArray[np.uint8]], titles: Sequence[str], path: Path, group: int = 1) -> Path:
    """Strips below one another, each under its title; of every `group` of them the first stands out."""
    heads = [index % group == 0 for index in range(len(strips))]
    letters = Lettering()
    titles = [letters.text(title, CAPTION_CELLS, lines=3) for title in titles]
    heights = [
        9 * strip.shape[0] / strip.shape[1] + (0.35 if head else 0.25) + 0.15 * title.count("\n")
        for strip, head, title in zip(strips, heads, titles, strict=True)
    ] or [9.35]
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((9, sum(heights)), layout="constrained")
        axes = fig.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        for ax, strip, title, head in zip(axes, strips, titles, heads, strict=bool(strips)):
            ax.imshow(strip, interpolation="nearest", aspect="equal")
            look = {"fontsize": 9, "fontweight": "bold" if group > 1 else "normal"} if head else {"fontsize": 8}
            ax.set_title(title, loc="left", parse_math=False, **look)
        for ax in axes:
            ax.axis("off")
        return _save(fig, path)


def _strip(window: NDArray[np.uint8], clips: int, gap: int = 2, clip_gap: int = 14) -> NDArray[np.uint8]:
    """Lay the frames of a window [T, H, W, 3] side by side on white, in rows of whole clips."""
    zoom = max(1, -(-FRAME_SIDE // max(window.shape[1:3])))
    frames = window.repeat(zoom, axis=1).repeat(zoom, axis=2)
    frames = np.pad(frames, ((0, 0), (gap, gap), (gap, gap), (0, 0)), constant_values=255)
    blocks = [np.concatenate(list(clip), axis=1) for clip in np.split(frames, clips)]
    blocks = [np.pad(block, ((gap, gap), (0, clip_gap), (0, 0)), constant_values=255) for block in blocks]
    per_row = max(1, ROW_FRAMES // (len(window) // clips))
    empty = np.full_like(blocks[0], 255)
    blocks += [empty] * (-len(blocks) % min(per_row, clips))
    rows = [np.concatenate(blocks[i : i + per_row], axis=1) for i in range(0, len(blocks), per_row)]
    return np.concatenate(rows, axis=0)


def _save(fig: Figure, path: Path) -> Path:
    with atomic_write(path) as file:
        fig.savefig(file, format="png", dpi=DPI)
    return path
