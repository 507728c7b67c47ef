"""Windows of videos as batches: the same ones for any number of processes, and from any batch of any epoch on."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from config.data import DataConfig
from data_utils.batches.frame_reader import FrameReader, reader_for
from data_utils.batches.plan import Plan, Window
from data_utils.batches.worker_limits import (
    own_socket_folder,
    remove_socket_folders_at_end,
    require_shared_memory,
    shorten_socket_paths,
)
from data_utils.catalog.catalog import Catalog
from data_utils.video_files.decoding import VideoError

# A decoder that hangs although its video was verified must end the run, not stop it for ever.
_SECONDS_PER_BATCH = 600


@dataclass(frozen=True)
class Batch:
    """Windows of videos; those that could not be read are in `failed` and nowhere else."""

    video_BTCHW: Tensor
    """uint8, RGB."""
    row_B: Tensor
    """int64, the videos' rows in the catalog."""
    frames_BT: Tensor
    """int64, the frames' positions in their videos."""
    failed: list[tuple[int, str]]
    """(row, reason)."""
    other: Batch | None = None
    """Another window of each video, rows in the same order; it lists no failures of its own."""
    number: int = 0
    """The place of the batch in its epoch, from 0."""
    dataset: str = ""
    """The one of `datasets` that all of its windows are of; empty: the run's own."""
    first_row: int = 0
    """The number of that dataset's first row."""
    pass_number: int | None = None
    """The pass over that dataset, where it is not the epoch: what draws are keyed by."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on `device`."""
        return replace(
            self,
            video_BTCHW=self.video_BTCHW.to(device, non_blocking=non_blocking),
            row_B=self.row_B.to(device, non_blocking=non_blocking),
            frames_BT=self.frames_BT.to(device, non_blocking=non_blocking),
            other=self.other and self.other.to(device, non_blocking),
        )

    def blank(self) -> Batch:
        """One black window of its dataset's first row, for who must compute with a batch and has no window of it."""
        shape, length = self.video_BTCHW.shape[1:], self.frames_BT.shape[1]
        return replace(
            self,
            video_BTCHW=torch.zeros(1, *shape, dtype=torch.uint8),
            row_B=torch.full((1,), self.first_row, dtype=torch.int64),
            frames_BT=torch.arange(length)[None],
            other=self.other and self.other.blank(),
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory (torch's DataLoader calls this)."""
        return replace(
            self,
            video_BTCHW=self.video_BTCHW.pin_memory(),
            row_B=self.row_B.pin_memory(),
            frames_BT=self.frames_BT.pin_memory(),
            other=self.other and self.other.pin_memory(),
        )


class TrainingBatches(Protocol):
    """What the trainer asks of a loader."""

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    @property
    def windows(self) -> int:
        """Windows of an epoch, those of an incomplete batch included."""
        ...

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from `first_batch` on."""
        ...

    def close(self) -> None:
        """Ends the processes."""
        ...


class Loader:
    """Batches of one split, decoded by processes that live until `close`.

    Training draws windows anew every epoch and shuffles them; evaluation takes all, in the catalog's order. One epoch
    at a time: a new one ends the one before.
    """

    def __init__(
        self,
        catalog: Catalog,
        data: DataConfig,
        batch_size: int,
        seed: int,
        training: bool,
        reader: FrameReader | None = None,
        second_window: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Starts nothing yet.

        Args:
            catalog: the videos.
            data: window, frame size, number of processes.
            batch_size: windows of a batch.
            seed: of the order and the windows of training.
            training: random windows in random order, or evenly spread ones in order.
            reader: of the videos' storage; None: the one that fits the catalog's format.
            second_window: every training window brings another one of its video, `Batch.other`.
            share: (r, n): what the r-th of n processes takes, from 0: of every training batch one part of n, in
                evaluation every n-th batch whole.

        Raises:
            ValueError: second windows are wanted in evaluation.
            InputError: the system has no room for what the processes keep ready.
        """
        size = data.read_size
        self._plan = Plan(catalog, data, batch_size, seed, training, second_window, share)
        if data.num_workers:
            here = math.ceil(batch_size / share[1]) if training else batch_size
            require_shared_memory(data, here, len(self._plan), second_window)
            shorten_socket_paths()
            remove_socket_folders_at_end()
        self._batches = _Batches(len(self._plan))
        self._loader: DataLoader[Any] = DataLoader(
            _Windows(reader or reader_for(catalog, data), size),
            batch_sampler=self._batches,
            num_workers=data.num_workers,
            collate_fn=partial(_collate, length=data.window.length, size=size, second_window=second_window),
            pin_memory=torch.cuda.is_available(),
            persistent_workers=data.num_workers > 0,
            worker_init_fn=_prepare_process,
            timeout=_SECONDS_PER_BATCH if data.num_workers else 0,
            # Without its own, every epoch would draw from the generator that dropout uses.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._plan)

    @property
    def windows(self) -> int:
        """Windows of an epoch, those of an incomplete batch included."""
        return self._plan.num_windows

    def epoch(self, epoch: int, first_batch: int = 0, count: int | None = None) -> Iterator[Batch]:
        """The batches of an epoch, from `first_batch` on; of several processes, the share of this one.

        Args:
            epoch: which one.
            first_batch: the number of the first.
            count: how many; None: all that are left.
        """
        self._batches.lists = islice(self._plan.batches(epoch, first_batch), count)
        numbers = islice(self._plan.numbers(first_batch), count)
        for number, batch in zip(numbers, self._loader, strict=True):
            yield replace(batch, number=number)

    def close(self) -> None:
        """Ends the processes; `epoch` would start new ones."""
        iterator = self._loader._iterator
        self._loader._iterator = None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]


class _Batches:
    """The batch sampler of a DataLoader whose processes outlive an epoch: the lists change, the object stays."""

    def __init__(self, length: int) -> None:
        self.lists: Iterator[list[Window]] = iter(())
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[Window]]:
        return self.lists


class _Windows(Dataset[tuple[Window, NDArray[np.uint8] | str]]):
    """Reads windows; holds no per-video Python objects, so forked workers do not copy memory (copy-on-write)."""

    def __init__(self, reader: FrameReader, size: tuple[int, int]) -> None:
        self._reader, self._size = reader, size

    def __getitems__(self, windows: Sequence[Window]) -> list[tuple[Window, NDArray[np.uint8] | str]]:
        """Each window with its frames [T, H, W, 3], the other window's after its own, or why there are none."""
        items: list[tuple[Window, NDArray[np.uint8] | str]] = []
        for path, group in groupby(windows, key=lambda window: window.path):
            same_video = list(group)
            try:
                wanted = np.concatenate([window.all_frames for window in same_video])
                frames = self._reader.read(path, wanted, self._size)
            except VideoError as error:
                items += [(window, str(error)) for window in same_video]
            else:
                items += zip(same_video, np.split(frames, len(same_video)), strict=True)
        return items


def _collate(
    items: Sequence[tuple[Window, NDArray[np.uint8] | str]],
    length: int,
    size: tuple[int, int],
    second_window: bool,
) -> Batch:
    """The windows that could be read as one batch. `length`, `size`: frames, height and width of a window."""
    read = [(window, frames) for window, frames in items if not isinstance(frames, str)]
    failed = {window.row: reason for window, reason in items if isinstance(reason, str)}
    rows = [window.row for window, _ in read]
    own = _batch(rows, [w.frames for w, _ in read], [frames[:length] for _, frames in read], length, size)
    other = None
    if second_window:
        positions = [window.other for window, _ in read if window.other is not None]
        other = _batch(rows, positions, [frames[length:] for _, frames in read], length, size)
    return replace(own, failed=list(failed.items()), other=other)


def _batch(
    rows: list[int],
    positions: list[NDArray[np.int64]],
    pictures: list[NDArray[np.uint8]],
    length: int,
    size: tuple[int, int],
) -> Batch:
    """One window per row: the positions [T] of its frames and their pictures [T, H, W, 3]."""
    video = _empty((len(rows), length, 3, *size))
    for target_TCHW, frames_THWC in zip(video.numpy(), pictures, strict=True):
        for planes_CHW, frame_HWC in zip(target_TCHW, frames_THWC, strict=True):
            cv2.split(frame_HWC, list(planes_CHW))  # a sixth of the time of a copy with other strides
    frames_BT = np.array(positions, np.int64).reshape(len(rows), length)
    return Batch(video, torch.tensor(rows, dtype=torch.int64), torch.from_numpy(frames_BT), [])


def _empty(shape: tuple[int, ...]) -> Tensor:
    """An uint8 tensor; in a process of a DataLoader in shared memory at once, as torch's own collation has it.

    Copied there later, large batches would leave holes in the process's heap, which grew by hundreds of MB.
    """
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


def _prepare_process(_number: int) -> None:
    """Leaves signals and cores to the main process."""
    # Ctrl-C, and a scheduler's signal to the group, must find the workers alive until the main process has saved.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Slurm's warning reaches every process of a job
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    own_socket_folder()
    torch.set_num_threads(1)
