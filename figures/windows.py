"""Input windows as strips of frames: as they are read, and as a task's views make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.catalog.catalog import Catalog
from data_utils.views.normalise import to_pixels
from data_utils.views.views import View, make_views, middle_view
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering

CAPTION_CELLS = 110
FRAME_SIDE = 64  # pixels: smaller frames are enlarged at least to this
DRAWN_WINDOWS = 8
DRAWN_LOOKS = 3  # of them, each above all its views
ROW_FRAMES = 16  # frames side by side before a strip of windows is broken, at clip borders


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
