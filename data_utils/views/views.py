"""Views: what a task, or evaluation, gets to see of a window, cropped and augmented on the device.

The one place where windows become input of a model: at `frame_size`, normalised, for training and evaluation alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config.augmentation import Augmentation
from config.data import DataConfig
from data_utils.batches.loader import Batch
from data_utils.views.augment import Draw, draw_all, transform
from data_utils.views.crops import Box, Size, fixed_boxes
from data_utils.views.geometry import Geometry, geometry_of
from data_utils.views.normalise import normalise

# The last word of a generator's seed keeps its stream apart from every other draw, see windows.py.
_TIME = 5


@dataclass(frozen=True)
class View:
    """One look at a window.

    Attributes:
        window: 0, or 1 for another window of the same video.
        augmentation: what is drawn for it; None: the window as it is.
        time_scale: least and largest share of the window's time span that the view covers; its frames are the nearest
            ones, without changing their number.

    Raises:
        ValueError: there is no such window, or the time scale is not part of [0, 1].
    """

    window: int = 0
    augmentation: Augmentation | None = None
    time_scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if self.window not in (0, 1):
            raise ValueError(f"window {self.window}: a batch has the windows 0 and 1")
        if not 0 <= self.time_scale[0] <= self.time_scale[1] <= 1:
            raise ValueError(f"time_scale {self.time_scale} is not part of [0, 1]")


@dataclass(frozen=True)
class TrainingViews:
    """A batch as a task gets it."""

    videos: tuple[Tensor, ...]
    """One per view: [B, T, C, H, W], normalised float."""
    frames: tuple[Tensor, ...]
    """One per view: [B, T] int64, the frames' positions in their videos."""
    rows_B: Tensor
    """int64, the videos' rows in the catalog."""
    geometry: tuple[tuple[Geometry, ...], ...] = ()
    """One per view and window: where the view has what the video has, see `geometry.boxes_in_view`."""


@dataclass(frozen=True)
class EvaluationViews:
    """A batch as an encoder gets it in evaluation: each crop of a window is a window of its own, after one another."""

    video_BTCHW: Tensor
    """Normalised float, on the device that computes."""
    rows_B: Tensor
    """int64, the videos' rows in the catalog."""
    frames_BT: Tensor
    """int64, the frames' positions in their videos."""
    geometry: tuple[Geometry, ...] = ()
    """One per window, as in `TrainingViews`."""


@torch.no_grad()
def make_views(batch: Batch, views: tuple[View, ...], data: DataConfig, seed: int, epoch: int) -> TrainingViews:
    """The views of a batch; every draw is a pure function of (seed, epoch, row, first frame, number of the view).

    Args:
        batch: on the device that computes; `other` is needed where a view looks at another window. Draws are
            keyed by the first frame of the batch's own window, which is unique within an epoch.
        views: in the order in which they are wanted.
        data: frame size, mean and std, and `eval_crop` for what no crop is drawn for.
        seed: of the run.
        epoch: number of the epoch.

    Raises:
        ValueError: a view looks at another window and the batch has none.
    """
    drawn = any(view.augmentation is not None or view.time_scale != (1.0, 1.0) for view in views)
    # One look at the device's memory for all views, as it waits for the device.
    # Pairs of states begin with the same frame: their last one tells them apart.
    ends = (0, -1) if data.window.sampling == "states" else (0,)
    items = torch.stack([batch.row_B, *(batch.frames_BT[:, end] for end in ends)], dim=1).tolist() if drawn else []
    videos, frames, geometry = [], [], []
    for number, view in enumerate(views):
        keys = [(seed, epoch, *item, number) for item in items]
        video, positions = _frames(batch, view, keys)
        draws = _draws(video, view, keys, data)
        geometry.append(_geometry(draws, video, data))
        if view.augmentation is not None or video.shape[-2:] != _frame_size(data):
            # Back to pixels, for which there is the one normalisation; what nothing was drawn for keeps every bit.
            video = _pixels(transform(video, draws, _frame_size(data)))
        videos.append(normalise(video, *data.pixels))
        frames.append(positions)
    return TrainingViews(tuple(videos), tuple(frames), batch.row_B, tuple(geometry))


@torch.no_grad()
def evaluation_views(batch: Batch, data: DataConfig, device: torch.device | str) -> EvaluationViews:
    """The evaluation views of a batch: `eval_crop` of each window.

    Args:
        batch: its rows and frames stay on their device.
        data: frame size, `eval_crop`, mean and std.
        device: where the crops are made.
    """
    video = batch.video_BTCHW.to(device, non_blocking=True)
    boxes = _boxes(video, data)
    crops = [_cropped(video, box, data) for box in boxes] or [video]
    count = len(crops)
    of_window = _geometry([Draw(box=box) for box in boxes] or [Draw()], video, data)
    return EvaluationViews(
        normalise(torch.stack(crops, dim=1).flatten(0, 1), *data.pixels),
        batch.row_B.repeat_interleave(count),
        batch.frames_BT.repeat_interleave(count, dim=0),
        of_window * len(video),
    )


def crops_per_window(data: DataConfig) -> int:
    """Windows that `evaluation_views` makes of one."""
    return len(fixed_boxes(data.read_size, _frame_size(data), data.eval_crop))


@torch.no_grad()
def middle_view(video_BTCHW: Tensor, data: DataConfig) -> Tensor:
    """Windows without augmentation: uint8 pixels at `frame_size`, the first crop of each that evaluation sees.

    Those that are read at that size keep every bit.
    """
    boxes = _boxes(video_BTCHW, data)
    return _cropped(video_BTCHW, boxes[0], data) if boxes else video_BTCHW


def _frame_size(data: DataConfig) -> Size:
    """Height and width of the model's frames."""
    height, width = data.frame_size
    return height, width


def _draws(video_BTCHW: Tensor, view: View, keys: Sequence[Sequence[int]], data: DataConfig) -> list[Draw]:
    """The draw for each window of a view, with the middle crop where no crop is drawn."""
    boxes = _boxes(video_BTCHW, data)
    middle = boxes[0] if boxes else None
    if view.augmentation is None:
        return [Draw(box=middle)] * len(video_BTCHW)
    height, width = video_BTCHW.shape[-2:]
    return draw_all(view.augmentation, keys, (height, width), _frame_size(data), middle)


def _geometry(draws: Sequence[Draw], video_BTCHW: Tensor, data: DataConfig) -> tuple[Geometry, ...]:
    """The part of each draw that moves pixels."""
    height, width = video_BTCHW.shape[-2:]
    return tuple(geometry_of(draw, (height, width), _frame_size(data)) for draw in draws)


def _boxes(video_BTCHW: Tensor, data: DataConfig) -> list[Box]:
    """The crops that evaluation takes from frames; none where frames already have the model's size."""
    size, (height, width) = _frame_size(data), video_BTCHW.shape[-2:]
    return [] if size == (height, width) else fixed_boxes((height, width), size, data.eval_crop)


def _cropped(video_BTCHW: Tensor, box: Box, data: DataConfig) -> Tensor:
    """A fixed crop of every window, uint8 to uint8."""
    draws = [Draw(box=box)] * len(video_BTCHW)
    return _pixels(transform(video_BTCHW, draws, _frame_size(data)))


def _pixels(video_BTCHW: Tensor) -> Tensor:
    """From [0, 1] to uint8."""
    return video_BTCHW.mul(255).round_().to(torch.uint8)


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
