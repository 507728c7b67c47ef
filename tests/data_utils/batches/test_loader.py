from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from config.schema import Config
from data_utils.batches.loader import Batch, Loader
from data_utils.batches.opening import open_catalogs
from data_utils.batches.windows import evaluation_starts, frame_indices, second_start, training_starts
from data_utils.catalog.catalog import Catalog
from data_utils.formats.video import VideoReader

LEVELS = ("space", "time", "clip")

MakeConfig = Callable[..., Config]


@pytest.fixture
def catalog(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> Catalog:
    """Six videos of 12, 14, ... 22 frames; video k shows the numbers from 100 k on."""
    return open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")["train"]


@pytest.fixture
def make_loader(catalog: Catalog, make_config: MakeConfig) -> Iterator[Callable[..., Loader]]:
    loaders: list[Loader] = []

    def make(training: bool, *overrides: str, second_window: bool = False, **values: Any) -> Loader:
        config = make_config(catalog.root, *overrides, **values)
        loaders.append(Loader(catalog, config, config.batch_size, config.seed, training, second_window=second_window))
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()


class CountingReader(VideoReader):
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []

    def read(self, path: str | Path, indices: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
        self.asked.append(indices.tolist())
        return super().read(path, indices, size)


def same(first: Batch, second: Batch) -> bool:
    tensors = zip(
        (first.video_BTCHW, first.row_B, first.frames_BT),
        (second.video_BTCHW, second.row_B, second.frames_BT),
        strict=True,
    )
    others = first.other is second.other or (first.other and second.other and same(first.other, second.other))
    return all(torch.equal(a, b) for a, b in tensors) and first.failed == second.failed and bool(others)


def test_batches_hold_the_frames_that_they_name(
    make_loader: Callable[..., Loader], number_of: Callable[[NDArray[np.uint8]], int]
) -> None:
    for training in (True, False):
        for batch in make_loader(training).epoch(1):
            assert batch.video_BTCHW.dtype == torch.uint8
            assert batch.video_BTCHW.shape == (len(batch.row_B), 4, 3, 16, 24)
            assert batch.failed == []
            pictures = batch.video_BTCHW.permute(0, 1, 3, 4, 2).numpy()
            numbers = torch.tensor([[number_of(picture) for picture in video] for video in pictures])
            assert torch.equal(numbers, 100 * batch.row_B[:, None] + batch.frames_BT)


def test_training_takes_every_videos_windows_in_a_new_order(
    catalog: Catalog, make_loader: Callable[..., Loader], make_config: MakeConfig
) -> None:
    config = make_config(catalog.root)
    expected = Counter(
        (row, tuple(frame_indices(start, frames, 25.0, config.window, "skip").tolist()))
        for row, frames in enumerate(catalog.table["frames"])
        for start in training_starts(frames, 25.0, config.window, "skip", config.seed, 3, row)
    )
    assert expected.total() == 1 + 5 * 2  # 12 frames hold one window of 7, the others two
    loader = make_loader(True, batch_size=11)
    assert len(loader) == 1
    orders = []
    for epoch in (3, 4):
        (batch,) = loader.epoch(epoch)
        windows = [(int(row), tuple(f.tolist())) for row, f in zip(batch.row_B, batch.frames_BT, strict=True)]
        orders.append(batch.row_B.tolist())
        if epoch == 3:
            assert Counter(windows) == expected
    assert orders[0] != orders[1]


def test_evaluation_takes_everything_in_order(
    catalog: Catalog, make_loader: Callable[..., Loader], make_config: MakeConfig
) -> None:
    window = make_config(catalog.root).window
    expected = [
        (row, frame_indices(start, frames, 25.0, window, "skip").tolist())
        for row, frames in enumerate(catalog.table["frames"])
        for start in evaluation_starts(frames, 25.0, window, "skip")
    ]
    loader = make_loader(False)
    batches = list(loader.epoch(0))
    assert [len(batch.row_B) for batch in batches] == [4, 4, 3]
    assert len(loader) == 3
    windows = [(int(r), f.tolist()) for b in batches for r, f in zip(b.row_B, b.frames_BT, strict=True)]
    assert windows == expected
    assert all(same(a, b) for a, b in zip(batches, loader.epoch(7), strict=True))


@pytest.mark.parametrize(("batch_size", "expected"), [(4, [4, 4]), (11, [11]), (50, [11]), (6, [6])])
def test_training_drops_an_incomplete_batch_where_there_is_a_full_one(
    batch_size: int, expected: list[int], make_loader: Callable[..., Loader]
) -> None:
    loader = make_loader(True, batch_size=batch_size)
    assert [len(batch.row_B) for batch in loader.epoch(0)] == expected
    assert len(loader) == len(expected)


def test_processes_resuming_and_leaving_change_nothing(make_loader: Callable[..., Loader]) -> None:
    alone, helped = make_loader(True, batch_size=2), make_loader(True, batch_size=2, num_workers=2)
    expected = {epoch: list(alone.epoch(epoch)) for epoch in (0, 1)}
    assert len(expected[0]) == 5
    for epoch in (0, 1):
        assert all(same(a, b) for a, b in zip(expected[epoch], helped.epoch(epoch), strict=True))
    for _ in helped.epoch(0):  # a run that stops in the middle of an epoch
        break
    for loader in (alone, helped):
        assert all(same(a, b) for a, b in zip(expected[1][2:], loader.epoch(1, first_batch=2), strict=True))
        assert list(loader.epoch(0, first_batch=5)) == []


def test_the_global_generators_are_left_alone(make_loader: Callable[..., Loader]) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    for workers in (0, 1):
        list(make_loader(True, num_workers=workers).epoch(0))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # type: ignore[index]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_videos_that_fail_are_named_and_nothing_stands_in_for_them(
    num_workers: int, catalog: Catalog, make_loader: Callable[..., Loader]
) -> None:
    (catalog.root / catalog.table["path"][1]).unlink()
    (catalog.root / catalog.table["path"][4]).write_bytes(b"no video")
    batches = list(make_loader(False, batch_size=3, num_workers=num_workers).epoch(0))
    assert [batch.row_B.tolist() for batch in batches] == [[0], [2, 2, 3], [3], [5, 5]]
    assert [batch.failed for batch in batches[:2]] == [[(1, "no such file or directory")], []]
    assert [row for row, _ in batches[2].failed] == [4]
    whole = next(make_loader(False, batch_size=1, num_workers=num_workers).epoch(0, first_batch=1))
    assert whole.video_BTCHW.shape == (0, 4, 3, 16, 24)
    assert whole.frames_BT.shape == (0, 4)
    assert whole.failed == [(1, "no such file or directory")]


@pytest.mark.parametrize(("kept", "expected"), [("loop", [0, 10, 8, 6]), ("pad", [0, 10, 11, 11])])
def test_short_videos(kept: str, expected: list[int], make_loader: Callable[..., Loader]) -> None:
    window = "window={length: 4, frequency: 10, step: null, max_seq_per_video: 2, eval_windows: 2}"
    batch = next(make_loader(False, window, f"short_videos={kept}").epoch(0))
    assert batch.frames_BT[0].tolist() == expected


def test_batches_move_as_one(make_loader: Callable[..., Loader]) -> None:
    batch = next(make_loader(False).epoch(0)).to("meta")
    assert {t.device.type for t in (batch.video_BTCHW, batch.row_B, batch.frames_BT)} == {"meta"}


def test_second_windows_are_others_of_the_same_videos_and_leave_the_first_alone(
    catalog: Catalog,
    make_loader: Callable[..., Loader],
    make_config: MakeConfig,
    number_of: Callable[[NDArray[np.uint8]], int],
) -> None:
    config = make_config(catalog.root)
    for epoch in (0, 1):
        plain = list(make_loader(True).epoch(epoch))
        paired = list(make_loader(True, second_window=True).epoch(epoch))
        assert all(batch.other is None for batch in plain)
        assert all(same(a, replace(b, other=None)) for a, b in zip(plain, paired, strict=True))
        for batch in paired:
            other = batch.other
            assert other is not None
            assert torch.equal(other.row_B, batch.row_B)
            assert (other.failed, other.other) == ([], None)
            for row, frames, others in zip(batch.row_B.tolist(), batch.frames_BT, other.frames_BT, strict=True):
                first, num_frames = int(frames[0]), int(catalog.table["frames"][row])
                start = second_start(first, num_frames, 25.0, config.window, config.seed, epoch, row)
                assert start != first
                assert others.tolist() == frame_indices(start, num_frames, 25.0, config.window, "skip").tolist()
            pictures = other.video_BTCHW.permute(0, 1, 3, 4, 2).numpy()
            numbers = torch.tensor([[number_of(picture) for picture in video] for video in pictures])
            assert torch.equal(numbers, 100 * other.row_B[:, None] + other.frames_BT)


def test_processes_and_resuming_change_no_second_window(make_loader: Callable[..., Loader]) -> None:
    alone = make_loader(True, batch_size=2, second_window=True)
    helped = make_loader(True, batch_size=2, num_workers=2, second_window=True)
    expected = list(alone.epoch(1))
    assert len(expected) == 5
    assert all(same(a, b) for a, b in zip(expected, helped.epoch(1), strict=True))
    for loader in (alone, helped):
        assert all(same(a, b) for a, b in zip(expected[2:], loader.epoch(1, first_batch=2), strict=True))


def test_both_windows_of_a_video_are_read_by_one_call(catalog: Catalog, make_config: MakeConfig) -> None:
    reader = CountingReader()
    loader = Loader(catalog, make_config(catalog.root), 1, 0, True, reader, second_window=True)
    batches = list(loader.epoch(0))
    assert reader.asked == [
        batch.frames_BT[0].tolist() + batch.other.frames_BT[0].tolist() for batch in batches if batch.other
    ]
    assert len(reader.asked) == 11


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_video_that_fails_is_listed_once_and_in_neither_window(
    num_workers: int, catalog: Catalog, make_loader: Callable[..., Loader]
) -> None:
    loader = make_loader(True, batch_size=11, num_workers=num_workers, second_window=True)
    (whole,) = loader.epoch(0)
    loader.close()
    (catalog.root / catalog.table["path"][1]).unlink()
    (batch,) = loader.epoch(0)
    assert batch.other is not None
    assert batch.failed == [(1, "no such file or directory")]
    assert batch.other.failed == []
    kept = whole.row_B != 1
    for rest, all_of_it in ((batch, whole), (batch.other, whole.other)):
        assert all_of_it is not None
        assert torch.equal(rest.row_B, all_of_it.row_B[kept])
        assert torch.equal(rest.video_BTCHW, all_of_it.video_BTCHW[kept])
        assert torch.equal(rest.frames_BT, all_of_it.frames_BT[kept])
    for path in catalog.table["path"]:
        (catalog.root / path).unlink(missing_ok=True)
    (empty,) = loader.epoch(0)
    assert empty.other is not None
    assert empty.other.video_BTCHW.shape == (0, 4, 3, 16, 24)
    assert len(empty.failed) == 6


def test_a_video_with_a_single_window_gives_it_twice(make_loader: Callable[..., Loader]) -> None:
    window = "window={length: 4, frequency: 10, step: null, max_seq_per_video: 2, eval_windows: 2}"
    for batch in make_loader(True, window, "short_videos=loop", second_window=True).epoch(0):
        assert batch.other is not None
        assert same(batch, replace(batch.other, other=batch.other))


def test_evaluation_has_no_second_windows(make_loader: Callable[..., Loader]) -> None:
    with pytest.raises(ValueError, match="second_window"):
        make_loader(False, second_window=True)


def test_second_windows_move_along(make_loader: Callable[..., Loader], monkeypatch: pytest.MonkeyPatch) -> None:
    batch = next(make_loader(True, second_window=True).epoch(0))
    moved = batch.to("meta").other
    assert moved is not None
    assert {t.device.type for t in (moved.video_BTCHW, moved.row_B, moved.frames_BT)} == {"meta"}
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    pinned = batch.pin_memory().other
    assert pinned is not None
    assert batch.other is not None
    for name in ("video_BTCHW", "row_B", "frames_BT"):
        assert torch.equal(getattr(pinned, name), getattr(batch.other, name) + 1)


def test_signals_to_the_group_leave_the_processes_alive_and_close_ends_them(
    make_loader: Callable[..., Loader], catalog: Catalog
) -> None:
    loader = make_loader(True, batch_size=2, num_workers=1)
    batches = loader.epoch(0)
    next(batches)
    (worker,) = loader._loader._iterator._workers  # type: ignore[union-attr]
    os.kill(worker.pid, signal.SIGINT)
    assert os.getpgid(worker.pid) != os.getpgrp()
    assert len(list(batches)) == 4
    assert worker.is_alive()
    loader.close()
    assert not worker.is_alive()
    loader.close()
