"""The pixels that frames predict of themselves, below the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from architecture.stem import patchify, unpatchify
from config.schema import Config
from data_utils.views.normalise import to_pixels
from figures.frame_rows import FramePlaces, draw_frames, name_row
from figures.sampled_windows import SampledWindows, first_of
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering
from tasks.encoder_settings import HierarchySettings
from tasks.task import Task

DRAWN = 4  # windows
CAPTION_CELLS = 110
UNKNOWN = 128  # grey of what nothing predicts


def draw_predicted_pixels(task: Task, sampled: SampledWindows, config: Config, folder: Path) -> Path | None:
    """Draws `predicted_pixels.png`: true frames, what their summaries predict, and what is seen without a prediction.

    A patch is predicted but for its mean and its contrast, which are the true ones here: the last row has the means
    alone, and what the one above it has more is what was predicted.

    Args:
        task: whose predictors are asked.
        sampled: windows; the first few are drawn.
        config: the run's.
        folder: where the figure goes.

    Returns:
        Its path; None where nothing predicts pixels.
    """
    shown = first_of(sampled, DRAWN)
    predicted_BTCHW = task.predicted_pixels(shown.video_BTCHW)
    if predicted_BTCHW is None:
        return None
    patch_size, grid = config.section(HierarchySettings).patch_size, config.geometry.grid
    patches_BTPD = patchify(shown.video_BTCHW, patch_size).unflatten(-1, (-1, 3))
    means_BTPD = patches_BTPD.mean(dim=(3, 4), keepdim=True).expand_as(patches_BTPD).flatten(3)
    rows = {
        "true": shown.frames_BTHWC,
        "predicted": _pictures(predicted_BTCHW, config),
        "means of\nthe patches": _pictures(unpatchify(means_BTPD, grid[0], patch_size), config),
    }
    letters = Lettering()
    captions = [letters.text(caption, CAPTION_CELLS, lines=2) for caption in shown.captions]
    with mpl.rc_context(STYLE | letters.style):
        fig = _draw(rows, captions, FramePlaces.of(config.geometry.frames, config.clips))
        return save_figure(fig, folder / "predicted_pixels.png")


def _pictures(video_BTCHW: Tensor, config: Config) -> NDArray[np.uint8]:
    """[B, T, H, W, 3]; grey where a number is nan."""
    known = video_BTCHW.isfinite()
    pixels = to_pixels(torch.where(known, video_BTCHW, 0), *config.pixels)
    pictures: NDArray[np.uint8] = torch.where(known, pixels, UNKNOWN).permute(0, 1, 3, 4, 2).cpu().numpy()
    return pictures


def _draw(rows: Mapping[str, NDArray[np.uint8]], captions: Sequence[str], places: FramePlaces) -> Figure:
    """The rows of every window below each other."""
    first = next(iter(rows.values()))
    width = places.figure_width()
    tall = places.row_height(first.shape[2] / first.shape[3], width)
    fig = Figure((width, len(captions) * (len(rows) * (tall + 0.08) + 0.35) + 0.4))
    fig.set_layout_engine("constrained", h_pad=0.03, hspace=0)
    parts = fig.subfigures(len(captions), 1, squeeze=False)[:, 0]
    for number, (part, caption) in enumerate(zip(parts, captions, strict=True)):
        axes = part.subplots(len(rows), 1)
        axes[0].set_title(caption, loc="left", fontsize=9, parse_math=False)
        for ax, (name, frames_BTHWC) in zip(axes, rows.items(), strict=True):
            draw_frames(ax, frames_BTHWC[number, : len(places.left_T)], places)
            name_row(ax, name)
    fig.suptitle("What the summary of each frame predicts of its patches", fontsize=10, fontweight="bold")
    return fig
