"""Every moment of a long video compared with every other one, at each level, and where its labels change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from data_utils.batches.loader import Batch
from data_utils.batches.windows import window_starts
from data_utils.catalog.catalog import Catalog
from data_utils.video_files.decoding import VideoError
from data_utils.views.views import evaluation_views
from figures.frame_rows import bare
from figures.sampled_windows import Frames, caption_of, one_window, sampled_rows
from protocols.encoded import EncodedData
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering

DRAWN = 2  # videos
WINDOWS = 48  # of a video at most, evenly spread over it
BATCH = 8  # windows that are encoded at once
MOMENTS = 96  # rows of a matrix at most
PICTURES = 12  # frames above it
CANDIDATES = 64  # videos among which the longest ones are looked for
CAPTION_CELLS, PART_CELLS = 100, 14
SHADES = "PuOr_r"  # orange and purple, which all readers can tell apart


@dataclass(frozen=True)
class _LongVideo:
    """A video as the levels see it from its beginning to its end."""

    row: int
    frames: int
    pictures: NDArray[np.uint8]
    similarity: dict[str, NDArray[np.float64]]
    """By level, cosines of all pairs of moments; nan where no unit of the level stands."""


def draw_time_similarity(data: EncodedData, split: str, folder: Path) -> Path | None:
    """Draws `time_similarity.png`: windows slide over the longest of some test videos, and all moments are compared.

    A moment is a short span of the video; a unit belongs to the moment in which its middle lies. Features are centred
    by the mean over the split, as kNN centres them by that of its bank, and compared by their cosine.

    Args:
        data: an encoder with its data.
        split: whose videos are looked at.
        folder: where the figure goes.

    Returns:
        Its path; None where no video can be read.
    """
    catalog = data.catalogs[split]
    frames = Frames(catalog, one_window(data.config))
    candidates = sampled_rows(data.split(split).rows, CANDIDATES, data.config.seed)
    candidates.sort(key=lambda row: -frames.facts(row)[0])
    means = {level: _mean(features_N1D) for level, features_N1D in data.split(split).features[1].items()}
    videos: list[_LongVideo] = []
    for row in candidates:
        try:
            videos.append(_looked_at(data, frames, row, means))
        except VideoError:
            continue
        if len(videos) == DRAWN:
            break
    if not videos:
        return None
    letters = Lettering()
    captions = [letters.text(caption_of(catalog, video.row), CAPTION_CELLS, lines=2) for video in videos]
    parts = [_parts(catalog, video.row, letters) for video in videos]
    with mpl.rc_context(STYLE | letters.style):
        return save_figure(_draw(videos, captions, parts), folder / "time_similarity.png")


def _mean(features_N1D: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(features_N1D[:, 0].mean(axis=0, dtype=np.float64), np.float32)


def _parts(catalog: Catalog, row: int, letters: Lettering) -> list[str]:
    """The classes of the parts of a video, of the first label set that has several; [] where none has."""
    for labels in catalog.labels.values():
        if labels.kind == "parts" and labels.is_known[row]:
            return [letters.text(labels.classes[value], PART_CELLS) for value in labels.values[row]]
    return []


def _looked_at(data: EncodedData, frames: Frames, row: int, means: Mapping[str, NDArray[np.float32]]) -> _LongVideo:
    """Encodes windows that slide over a video. Raises VideoError."""
    count, fps = frames.facts(row)
    pictures = frames.read(row, np.linspace(0, count - 1, min(PICTURES, count)).round().astype(np.int64))
    units: dict[str, list[NDArray[np.float32]]] = {}
    middles: dict[str, list[NDArray[np.float64]]] = {}
    for windows, frames_WT in _sliding(data, frames, row, count, fps):
        for level, units_WUD in _encoded(data, windows, frames_WT).items():
            units.setdefault(level, []).append(units_WUD.reshape(-1, units_WUD.shape[-1]))
            middles.setdefault(level, []).append(_middles(frames_WT.numpy(), units_WUD.shape[1]))
    moments = min(MOMENTS, count)
    similarity = {
        level: similarity_of(np.concatenate(found) - means[level], np.concatenate(middles[level]) / count, moments)
        for level, found in units.items()
    }
    return _LongVideo(row, count, pictures, similarity)


def _sliding(data: EncodedData, frames: Frames, row: int, count: int, fps: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows from the beginning to the end of a video, and their frames. Raises VideoError."""
    window = data.config.window.model_copy(update={"step": 1})  # as near to each other as can be
    starts = window_starts(count, fps, window, data.config.short_videos)
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(WINDOWS, len(starts))).round().astype(np.int64))
    for first in range(0, len(chosen), BATCH):
        yield frames.windows(row, [starts[number] for number in chosen[first : first + BATCH]])


@torch.no_grad()
def _encoded(data: EncodedData, windows: Tensor, frames_WT: Tensor) -> dict[str, NDArray[np.float32]]:
    """By level [W, U, D]."""
    batch = Batch(windows, torch.zeros(len(windows), dtype=torch.int64), frames_WT, [])
    video_BTCHW = evaluation_views(batch, one_window(data.config), data.device).video_BTCHW
    was_training = data.encoder.training
    data.encoder.eval()
    features = data.encoder(video_BTCHW)
    data.encoder.train(was_training)
    return {level: units_WUD.float().cpu().numpy() for level, units_WUD in features.items()}


def _middles(frames_WT: NDArray[np.int64], units: int) -> NDArray[np.float64]:
    """The middle of the frames that each unit shows, [W * U]; of patches, several show the same frame."""
    windows, length = frames_WT.shape
    if units > length:
        return frames_WT.repeat(units // length, axis=1).reshape(-1).astype(np.float64)
    middles: NDArray[np.float64] = frames_WT[:, : length // units * units].reshape(windows, units, -1).mean(axis=2)
    return middles.reshape(-1)


def similarity_of(units_MD: NDArray[np.float32], at_M: NDArray[np.float64], moments: int) -> NDArray[np.float64]:
    """The cosines of all pairs of moments, each the mean of the units that stand in it.

    Args:
        units_MD: centred.
        at_M: where they stand, in [0, 1).
        moments: into which [0, 1) is divided.

    Returns:
        [moments, moments]; nan where no unit stands.
    """
    place_M = np.minimum((at_M * moments).astype(np.int64), moments - 1)
    sums = np.zeros((moments, units_MD.shape[1]))
    np.add.at(sums, place_M, units_MD)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    directions = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), np.nan)
    cosines: NDArray[np.float64] = directions @ directions.T
    return _filled(cosines)


def _filled(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moments between two others in which no unit stands take the values of the one before, where these are near.

    Near is what neighbours usually are: frames that a window leaves out make no gap, and a stretch of the video in
    which no unit has its middle stays one.
    """
    known = np.flatnonzero(np.isfinite(np.diagonal(cosines)))
    if len(known) < 2:
        return cosines
    gaps = np.diff(known)
    source = np.arange(len(cosines))
    for place, gap in zip(known, gaps, strict=False):
        if gap <= max(2.0, np.median(gaps)):
            source[place : place + gap] = place
    return cosines[np.ix_(source, source)]


def _draw(videos: Sequence[_LongVideo], captions: Sequence[str], parts: Sequence[Sequence[str]]) -> Figure:
    """For each video its frames in a row, and below them a matrix for each level."""
    levels = list(videos[0].similarity)
    side = 2.6
    width = max(6.5, side * len(levels) + 0.8)
    strip = width / PICTURES * videos[0].pictures.shape[1] / videos[0].pictures.shape[2]
    fig = Figure((width, len(videos) * (side + strip + 0.65) + 0.4), layout="constrained")
    shade = Normalize(-1, 1)
    for part, video, caption, names in zip(
        fig.subfigures(len(videos), 1, squeeze=False)[:, 0], videos, captions, parts, strict=True
    ):
        above, below = part.subfigures(2, 1, height_ratios=[strip + 0.35, side + 0.3])
        ax = above.subplots()
        ax.imshow(np.concatenate(list(video.pictures), axis=1), aspect="equal", interpolation="nearest")
        ax.set_title(caption, loc="left", fontsize=9, parse_math=False)
        bare(ax)
        axes = below.subplots(1, len(levels), squeeze=False)[0]
        for ax, level in zip(axes, levels, strict=True):
            _draw_matrix(ax, video.similarity[level], video.frames, names, shade)
            ax.set_title(level, fontsize=9)
        bar = below.colorbar(ScalarMappable(shade, SHADES), ax=list(axes), fraction=0.03, pad=0.01, shrink=0.8)
        bar.set_label("cosine", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    fig.suptitle("How alike the moments of a video are", fontsize=10, fontweight="bold")
    return fig


def _draw_matrix(ax: Axes, cosines: NDArray[np.float64], frames: int, parts: Sequence[str], shade: Normalize) -> None:
    """Frame numbers on both axes; lines where the labels of parts change, and their names."""
    ax.set_facecolor("#dddddd")
    ax.grid(visible=False)
    ax.tick_params(labelsize=7)
    known = np.isfinite(np.diagonal(cosines)).sum()
    if known < 2:
        ax.set(xticks=[], yticks=[])
        ax.text(
            0.5, 0.5, "one unit sees\nthe whole video", ha="center", va="center", transform=ax.transAxes, fontsize=8
        )
        return
    ax.imshow(cosines, cmap=SHADES, norm=shade, interpolation="nearest", extent=(0, frames, frames, 0))
    ax.set_xlabel("frame", fontsize=8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    for border in np.arange(1, len(parts)) * frames / max(len(parts), 1):
        ax.axvline(border, color="black", linewidth=1.1)
        ax.axhline(border, color="black", linewidth=1.1)
    if 1 < len(parts) <= 6:
        places = (np.arange(len(parts)) + 0.5) * frames / len(parts)
        for place, name in zip(places, parts, strict=True):
            ax.text(1.01 * frames, place, name, rotation=270, ha="left", va="center", fontsize=7, parse_math=False)
