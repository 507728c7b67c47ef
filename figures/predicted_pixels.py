"""The pixels that frames predict of themselves, or that a masked autoencoder predicts of what was hidden."""

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
from tasks.task import MEANS, SHOWN, Task

DRAWN = 4  # windows
CAPTION_CELLS = 110
TITLE = "What the summary of each frame predicts of its patches"
UNKNOWN = 128  # grey of what nothing predicts


def draw_predicted_pixels(task: Task, sampled: SampledWindows, config: Config, folder: Path) -> Path | None:
    """Draws `predicted_pixels.png`: true frames, what is predicted of them, and what is seen without a prediction.

    A patch is predicted but for its mean and its contrast, which are the true ones here: the last row has the means
    alone, and what the one above it has more is what was predicted. Of a masked autoencoder, there is a row of what was
    shown, too, and what was shown is as it was in the rows below it.

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
    beside = task.pixels_beside(shown.video_BTCHW) or {MEANS: _means(shown.video_BTCHW, config)}
    rows = {"true": shown.frames_BTHWC}
    for name, video_BTCHW in (beside | {"predicted": predicted_BTCHW}).items():
        rows[name] = _pictures(video_BTCHW, config)
    rows = {name: rows[name] for name in ("true", SHOWN, "predicted", MEANS) if name in rows}
    letters = Lettering()
    captions = [letters.text(caption, CAPTION_CELLS, lines=2) for caption in shown.captions]
    with mpl.rc_context(STYLE | letters.style):
        fig = _draw(rows, captions, FramePlaces.of(config.window.length, config.clips))
        return save_figure(fig, folder / "predicted_pixels.png")


def _means(video_BTCHW: Tensor, config: Config) -> Tensor:
    """Windows in which every patch has one colour, its mean over pixels and channels."""
    patch_size, rows = config.section(HierarchySettings).patch_size, config.geometry.grid[0]
    patches_BTPD = patchify(video_BTCHW, patch_size)
    return unpatchify(patches_BTPD.mean(dim=-1, keepdim=True).expand_as(patches_BTPD), rows, patch_size)


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
    title = "Hidden patches as they are predicted" if SHOWN in rows else TITLE
    fig.suptitle(title, fontsize=10, fontweight="bold")
    return fig
