"""Figures of a run: embeddings of the features that `eval.py` scored, training curves, and what the model sees."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from data_utils.labels import LabelSet
from runs.atomic import atomic_write
from runs.compiled_umap import load_umap
from runs.seeds import numpy_generator

logger = logging.getLogger(__name__)

Method = Literal["pca", "tsne", "umap"]
METHODS: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}

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
MIN_POINTS = 10  # fewer make no picture
MAX_LEGEND = 24  # classes; more would push the panels off the page
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
            parts: {level: _embed(method, points, seed) for level, points in of_level.items()}
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


def _embed(method: Method, points: NDArray[np.float64], seed: int) -> NDArray[np.float64] | str:
    """Two dimensions per point [points, 2], or why there are none."""
    if len(points) < MIN_POINTS:
        return f"only {len(points)} points"
    if not np.isfinite(points).all():
        return "features are not finite"
    centred = points - points.mean(axis=0)
    if np.abs(centred).max() <= 1e-6 * np.abs(points).max():
        return "collapsed:\nall features are the same"
    normalised = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return _EMBEDDERS[method](_reduce(normalised, seed), seed % 2**32)


def _reduce(points: NDArray[np.float64], seed: int, dimensions: int = 50) -> NDArray[np.float64]:
    """The first principal components [points, 2 to dimensions]; zeros where the data has only one."""
    from sklearn.decomposition import PCA

    reduced = PCA(min(dimensions, *points.shape), random_state=seed % 2**32).fit_transform(points)
    return np.pad(reduced, ((0, 0), (0, max(0, 2 - reduced.shape[1]))))


def _pca(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:  # noqa: ARG001 (one signature for all)
    return points[:, :2]


def _tsne(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=seed, n_jobs=1)
    return np.asarray(tsne.fit_transform(points), np.float64)


def _umap(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    umap = load_umap()(n_neighbors=min(15, len(points) - 1), init="pca", n_epochs=200, random_state=seed, n_jobs=1)
    return np.asarray(umap.fit_transform(points), np.float64)


_Embedder = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
_EMBEDDERS: dict[Method, _Embedder] = {"pca": _pca, "tsne": _tsne, "umap": _umap}


def _draw_grid(
    title: str,
    embedded: Mapping[int, Mapping[str, NDArray[np.float64] | str]],
    videos: Mapping[int, NDArray[np.intp]],
    labels: Mapping[str, LabelSet],
    scores: Mapping[str, Mapping[str, float]],
    path: Path,
) -> None:
    levels = list(next(iter(embedded.values()), {}))
    legend = 0.3 + 0.21 * max(-(-min(len(s.classes), MAX_LEGEND) // _legend_columns(s)) for s in labels.values())
    with mpl.rc_context(STYLE):
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
                ax.set_title(f"{level} \u00b7 {name}" + ("" if score is None else f"   kNN {score:.1f} %"))
            _draw_legend(column[-1], name, label_set)
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


def _draw_legend(ax: Axes, name: str, label_set: LabelSet) -> None:
    count = len(label_set.classes)
    handles = [
        Line2D([], [], linestyle="", markersize=5.5, label=label, **_look(value, count))
        for value, label in enumerate(label_set.classes[:MAX_LEGEND])
    ]
    more = f" ({MAX_LEGEND} of {count} classes)" if count > MAX_LEGEND else ""
    spacing = {"borderaxespad": 0, "columnspacing": 1, "handletextpad": 0.1, "labelspacing": 0.25}
    ax.axis("off")
    ax.legend(handles=handles, title=name + more, loc="upper center", ncols=_legend_columns(label_set), **spacing)


def _legend_columns(label_set: LabelSet) -> int:
    return 2 if max(map(len, label_set.classes), default=0) > 9 else 4


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
    steps = [record for record in records if record["kind"] == "step"]
    validations = [record for record in records if record["kind"] == "validation"]
    paths = []
    with mpl.rc_context(STYLE):
        if any(record.get("loss") for record in steps):
            paths.append(_draw_losses(steps, folder / "loss.png"))
        if any(record.get("knn") for record in validations):
            paths.append(_draw_knn(validations, folder / "knn.png"))
        if any(record.get("rank") for record in validations):
            paths.append(_draw_collapse(validations, folder / "collapse.png"))
    return paths


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
    labels = list(dict.fromkeys(name for level in levels for name in _names(validations, "knn", level)))
    fig = Figure((3.4 * len(labels), 0.5 + 2.2 * len(levels)), layout="constrained")
    axes = fig.subplots(len(levels), len(labels), squeeze=False, sharex=True, sharey="col")
    for row, level in enumerate(levels):
        for column, name in enumerate(labels):
            ax, key = axes[row, column], ("knn", level, name)
            _plot(ax, validations, (*key, "top1"), label="kNN", color="#0072b2", marker="o", markersize=4)
            _plot(ax, validations, (*key, "random_init"), label="random init", color="#d55e00", linestyle="--")
            _plot(ax, validations, (*key, "chance"), label="chance", color="#555555", linestyle=":")
            ax.set_title(f"{level} \u00b7 {name}")
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
    heights = [
        9 * strip.shape[0] / strip.shape[1] + (0.35 if head else 0.25)
        for strip, head in zip(strips, heads, strict=True)
    ] or [9.35]
    with mpl.rc_context(STYLE):
        fig = Figure((9, sum(heights)), layout="constrained")
        axes = fig.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        for ax, strip, title, head in zip(axes, strips, titles, heads, strict=bool(strips)):
            ax.imshow(strip, interpolation="nearest", aspect="equal")
            look = {"fontsize": 9, "fontweight": "bold" if group > 1 else "normal"} if head else {"fontsize": 8}
            # A path or a label may hold "$", which would start a formula.
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
