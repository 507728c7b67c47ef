"""The windows of an epoch and their order, known before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.data import DataConfig
from data_utils.batches.states import video_numbers
from data_utils.batches.windows import (
    epoch_order,
    evaluation_starts,
    frame_indices,
    num_evaluation_windows,
    num_training_windows,
    second_start,
    training_frames,
    training_starts,
)
from data_utils.catalog.catalog import Catalog
from parallel.batch_share import equal_parts


class Window(NamedTuple):
    """A window that a decoding process is asked for."""

    row: int
    path: str
    frames: NDArray[np.int64]
    other: NDArray[np.int64] | None = None
    """The frames of another window of the video, where one is wanted."""

    @property
    def all_frames(self) -> NDArray[np.int64]:
        """The frames of the window and of the other."""
        return self.frames if self.other is None else np.concatenate([self.frames, self.other])


class Plan:
    """Which windows an epoch takes, in which batches: a pure function of (seed, epoch, index)."""

    def __init__(
        self,
        catalog: Catalog,
        data: DataConfig,
        batch_size: int,
        seed: int,
        training: bool,
        second_window: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """See `Loader`."""
        if second_window and not training:
            raise ValueError("evaluation takes each window once: second_window goes with training")
        self._second_window, self._share = second_window, share
        self._data, self._batch_size, self._seed = data, batch_size, seed
        self._training, self._root = training, catalog.root
        # No Python objects: counting their references would copy the pages that loader processes share with this one.
        self._paths = catalog.stored.astype(np.dtypes.StringDType())
        self._frames = catalog.table["frames"].to_numpy(np.int64)
        self._fps = catalog.table["fps"].to_numpy(np.float64)
        by_states = training and data.window.sampling == "states"
        self._videos = video_numbers(catalog.table["path"].to_numpy(object)) if by_states else None
        count = num_training_windows if training else num_evaluation_windows
        per_video = count(self._frames, self._fps, data.window, data.short_videos)
        self._ends = np.cumsum(per_video)
        self.num_windows = int(self._ends[-1]) if len(self._ends) else 0
        """Windows of an epoch."""

    def __len__(self) -> int:
        """Batches of an epoch; training drops an incomplete last one where there is a full one."""
        full, rest = divmod(self.num_windows, self._batch_size)
        return full + (rest > 0 and not (self._training and full > 0))

    def batches(self, epoch: int, first_batch: int) -> Iterator[list[Window]]:
        """The windows of each batch from `first_batch` on, as far as they are in the share."""
        order = epoch_order(self.num_windows, self._seed, epoch) if self._training else np.arange(self.num_windows)
        size = self._batch_size
        process, processes = self._share
        for batch in self.numbers(first_batch):
            numbers = order[batch * size : (batch + 1) * size]
            if self._training:
                numbers = numbers[equal_parts(len(numbers), processes)[process]]
            yield [self._window(int(number), epoch) for number in numbers]

    def numbers(self, first_batch: int) -> range:
        """The numbers of the batches that `batches` gives."""
        process, processes = (0, 1) if self._training else self._share
        return range(first_batch + (process - first_batch) % processes, len(self), processes)

    def _window(self, number: int, epoch: int) -> Window:
        """Window `number` of the epoch, counted video by video."""
        window, short_videos = self._data.window, self._data.short_videos
        row = int(np.searchsorted(self._ends, number, side="right"))
        num_frames, fps = int(self._frames[row]), float(self._fps[row])
        if self._training:
            starts = training_starts(num_frames, fps, window, short_videos, self._seed, epoch, row)
        else:
            starts = evaluation_starts(num_frames, fps, window, short_videos)
        start = starts[number - int(self._ends[row])]  # counted from the video's last window
        frames = self._frames_of(start, row, epoch)
        other = None
        if self._second_window:
            second = second_start(start, num_frames, fps, window, self._seed, epoch, row)
            other = self._frames_of(second, row, epoch)
        return Window(row, str(self._root / self._paths[row]), frames, other)

    def _frames_of(self, start: int, row: int, epoch: int) -> NDArray[np.int64]:
        """The frames of the window of video `row` that begins at `start`."""
        of_video = int(self._frames[row]), float(self._fps[row]), self._data.window, self._data.short_videos
        if not self._training:
            return frame_indices(start, *of_video)
        video = int(self._videos[row]) if self._videos is not None else 0
        return training_frames(start, *of_video, self._seed, epoch, video)
