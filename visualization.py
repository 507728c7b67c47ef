"""Figures of a run: its curves, embeddings of the features that `eval.py` scored, and what the model sees."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.catalog import Catalog
from data_utils.views.normalise import to_pixels
from data_utils.views.views import View, make_views, middle_view
from protocols.encoded_split import EncodedSplit
from protocols.evaluation import Plan
from runs.process.seeds import numpy_generator
from runs.reporting.curves import draw_collapse, draw_losses, draw_scores
from runs.reporting.drawing import COLOURS, MARKERS, STYLE, save_figure
from runs.reporting.drawn_text import Lettering, width
from runs.reporting.embedding import METHODS, Method, embed
from runs.results import Result
from tasks.task import Task

logger = logging.getLogger(__name__)

MAX_LEGEND = 24  # classes; more would push the panels off the page
LEGEND_CELLS = {4: 9, 2: 17, 1: 42}  # of a line, by number of columns
TITLE_CELLS = 20  # of a label set's name
CAPTION_CELLS = 110
FRAME_SIDE = 64  # pixels: smaller frames are enlarged at least to this
DRAWN_WINDOWS = 8
DRAWN_LOOKS = 3  # of them, each above all its views
ROW_FRAMES = 16  # frames side by side before a strip of windows is broken, at clip borders


# ------------------------------------------------------------------------------------------------- all of a run


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
        labels = {name: label_set for name, label_set in run.split.labels.items() if label_set.is_known.any()}
        draw_embeddings(run.split.features, labels, folder, config.seed, config.figure_videos, scores, [method])

    first_windows = cache(run.read)  # once for two figures
    drawings: dict[str, Callable[[], object]] = {
        "windows": lambda: draw_input(first_windows(), config, folder),
        "views": lambda: draw_looks(first_windows(), run.task.views, run.task.view_names, config, folder),
        "loss": partial(draw_losses, records, folder),
        **{name: partial(draw_scores, name, title, records, folder) for name, title in plan.titles.items()},
        "collapse": partial(draw_collapse, records, folder),
        **{method: partial(draw_by, method) for method in config.figures},
    }
    for name in dict.fromkeys([*drawings, *METHODS]):  # those of an earlier part of the run
        (folder / f"{name}.png").unlink(missing_ok=True)
    failed = {}
    for name, draw in drawings.items():
        try:
            draw()
        except Exception as error:  # whatever it is
            failed[f"{name}.png"] = " ".join(f"{type(error).__name__}: {error}".split())
            logger.warning("figure %s.png could not be drawn: %s", name, failed[f"{name}.png"])
    return failed


# ------------------------------------------------------------------------------------------------- embeddings


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


# ------------------------------------------------------------------------------------------- what the model sees


@dataclass(frozen=True)
class FirstWindows:
    """The first training batch of a run, and a caption for each of the windows that are drawn."""

    batch: Batch
    captions: list[str]

    @classmethod
    def of(cls, batch: Batch, catalog: Catalog) -> FirstWindows:
        """The captions say each video's path and labels."""
        captions = []
        for row in batch.row_B[:DRAWN_WINDOWS].tolist():
            labels = [f"{name} {label_set.text(row)}" for name, label_set in catalog.labels.items()]
            path = catalog.table["path"].iloc[row]
            captions.append(f"{path}: {', '.join(labels)}" if labels else str(path))
        return cls(batch, captions)


def draw_input(first: FirstWindows, config: Config, folder: Path) -> None:
    """Draws `windows.png`: what the model sees."""
    video = middle_view(first.batch.video_BTCHW[:DRAWN_WINDOWS], config)
    draw_windows(to_frames(video), first.captions, config.clips, folder / "windows.png")


def draw_looks(
    first: FirstWindows, views: tuple[View, ...], names: Sequence[str], config: Config, folder: Path
) -> None:
    """Draws `views.png`: what a task's views make of what the model sees, where they change it."""
    if not any(view.augmentation for view in views):
        return
    # The whole batch: a window may get the static part of any other one.
    videos = make_views(first.batch, views, config, config.seed, epoch=0).videos
    looks = {
        name: to_frames(to_pixels(video[:DRAWN_LOOKS], *config.pixels))
        for name, video in zip(names, videos, strict=True)
    }
    whole = to_frames(first.batch.video_BTCHW[:DRAWN_LOOKS])
    draw_views(whole, looks, first.captions[:DRAWN_LOOKS], config.clips, folder / "views.png")


def to_frames(video_BTCHW: Tensor) -> NDArray[np.uint8]:
    """Windows of pixels as pictures: [B, T, H, W, 3]."""
    frames_BTHWC: NDArray[np.uint8] = video_BTCHW.permute(0, 1, 3, 4, 2).numpy()
    return frames_BTHWC


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
        return save_figure(fig, path)


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
