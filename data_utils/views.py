"""Views: what a task gets to see of a window, augmented on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config.augmentation import Augmentation
from config.schema import Config
from data_utils.augment import augment
from data_utils.loader import Batch
from data_utils.normalise import normalise

# The last word of a generator's seed keeps its stream apart from every other draw, see windows.py.
_TIME = 5


@dataclass(frozen=True)
class View:
    """One look at a window.

    Attributes:
        window: 0, or 1 for another window of the same video.
        augmentation: what is drawn for it; None: the window as it is.
        time_scale: least and largest share of the window's time span that the view covers; its frames are the nearest
            ones, as many as ever.

    Raises:
        ValueError: there is no such window, or the time scale is no part of [0, 1].
    """

    window: int = 0
    augmentation: Augmentation | None = None
    time_scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if self.window not in (0, 1):
            raise ValueError(f"window {self.window}: a batch has the windows 0 and 1")
        if not 0 <= self.time_scale[0] <= self.time_scale[1] <= 1:
            raise ValueError(f"time_scale {self.time_scale} is no part of [0, 1]")


@dataclass(frozen=True)
class TrainingViews:
    """A batch as a task gets it."""

    videos: tuple[Tensor, ...]
    """One per view: [B, T, C, H, W], normalised float."""
    frames: tuple[Tensor, ...]
    """One per view: [B, T] int64, the frames' positions in their videos."""
    rows_B: Tensor
    """int64, the videos' rows in the catalog."""


def default_view(config: Config) -> View:
    """The window itself, augmented where the config wants that of all training."""
    return View(augmentation=config.augmentation if config.augment_training else None)


@torch.no_grad()
def make_views(batch: Batch, views: tuple[View, ...], config: Config, epoch: int) -> TrainingViews:
    """The views of a batch; every draw is a pure function of (seed, epoch, row, first frame, number of the view).

    Args:
        batch: on the device that computes; `other` is needed where a view looks at another window. The first frame
            of a draw is that of the batch's own window, of which an epoch has no second one.
        views: in the order in which they are wanted.
        config: seed, mean and std.
        epoch: number of the epoch.

    Raises:
        ValueError: a view looks at another window and the batch has none.
    """
    drawn = any(view.augmentation is not None or view.time_scale != (1.0, 1.0) for view in views)
    # One look at the device's memory for all views, as it waits for the device.
    items = torch.stack([batch.row_B, batch.frames_BT[:, 0]], dim=1).tolist() if drawn else []
    videos, frames = [], []
    for number, view in enumerate(views):
        keys = [(config.seed, epoch, row, first, number) for row, first in items]
        video, positions = _frames(batch, view, keys)
        if view.augmentation is not None:
            # Back to pixels, for which there is the one normalisation; what nothing was drawn for keeps every bit.
            video = augment(video, view.augmentation, keys).mul(255).round_().to(torch.uint8)
        videos.append(normalise(video, *config.pixels))
        frames.append(positions)
    return TrainingViews(tuple(videos), tuple(frames), batch.row_B)


def _frames(batch: Batch, view: View, keys: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The frames that a view sees, uint8 [B, T, C, H, W], and their positions in their videos [B, T]."""
    source = batch.other if view.window else batch
    if source is None:
        raise ValueError("a view of another window needs batches with one: Loader(..., second_window=True)")
    if view.time_scale == (1.0, 1.0):
        return source.video_BTCHW, source.frames_BT
    length = source.frames_BT.shape[1]
    shape = (len(keys), length)
    drawn = np.array([time_indices(length, view.time_scale, key) for key in keys], np.int64).reshape(shape)
    index_BT = torch.from_numpy(drawn).to(source.frames_BT.device)
    window_B1 = torch.arange(len(keys), device=index_BT.device)[:, None]
    return source.video_BTCHW[window_B1, index_BT], source.frames_BT.gather(1, index_BT)


def time_indices(length: int, time_scale: tuple[float, float], key: Sequence[int]) -> NDArray[np.int64]:
    """Which of a window's frames a view takes: [T], ascending, a pure function of the arguments.

    A span, a share of the window's that is uniform in `time_scale`, lies anywhere inside the window; `length` points
    spread evenly over it take the nearest frame each.

    Args:
        length: frames of the window.
        time_scale: least and largest share, in [0, 1].
        key: integers >= 0.
    """
    generator = np.random.default_rng([*key, _TIME])
    span = generator.uniform(time_scale[0], time_scale[1]) * (length - 1)
    start = generator.uniform(0, length - 1 - span)
    indices = np.floor(start + np.linspace(0, span, length) + 0.5).astype(np.int64)
    return np.minimum(indices, length - 1)
