"""`window.frequency_fps` from catalog to batch: videos of several frame rates, of an unknown one, and too slow ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from config.errors import InputError
from config.schema import Config
from data_utils.batches.loader import Batch, Loader
from data_utils.batches.opening import open_catalogs
from data_utils.batches.windows import NO_FRAME_RATE
from data_utils.catalog.catalog import Catalog
from data_utils.video_files.facts_cache import VerifiedVideos, verified_videos

LEVELS = ("space", "time", "clip")


def listed(file: Path) -> str:
    """A list of bad videos without its last column, the dataset."""
    return "".join(line.rpartition(",")[0] + "\n" for line in file.read_text().splitlines())


MakeConfig = Callable[..., Config]
RATES = [10, 25, 50, 10, 25, 50]


def by_seconds(per_second: float, **changes: int) -> str:
    keys = {"length": 4, "frequency": 7, "max_seq_per_video": 2, "eval_windows": 2} | changes
    numbers = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"window={{{numbers}, step: null, frequency_fps: {per_second}}}"


@pytest.fixture
def root(tmp_path: Path, write_video: Callable[..., Path], write_csv: Callable[..., Path]) -> Path:
    """Six training videos of 10, 25 and 50 frames per second, of two seconds each; one of each other split."""
    folder = tmp_path / "data"
    for split, rates in {"train": RATES, "val": [25], "test": [25]}.items():
        for number, rate in enumerate(rates):
            write_video(folder / f"{split}/{number}.mp4", 2 * rate, rate=rate, first_number=100 * number)
        write_csv(folder / f"{split}.csv", [(f"{split}/{number}.mp4", "a") for number in range(len(rates))])
    return folder


def batches_of(catalog: Catalog, config: Config, epoch: int, *, training: bool = True) -> list[Batch]:
    with closing(Loader(catalog, config, config.batch_size, config.seed, training, second_window=training)) as loader:
        return list(loader.epoch(epoch))


def test_windows_last_as_long_in_every_video_and_hold_the_frames_that_they_name(
    root: Path, make_config: MakeConfig, tmp_path: Path, number_of: Callable[[NDArray[np.uint8]], int]
) -> None:
    config = make_config(root, by_seconds(10.0))
    catalog = open_catalogs(config, config.groups, tmp_path / "bad.csv")["train"]
    assert catalog.table["fps"].tolist() == RATES
    for training in (True, False):
        windows = {10: 0, 25: 0, 50: 0}
        for batch in batches_of(catalog, config, 1, training=training):
            for row, frames, video in zip(batch.row_B.tolist(), batch.frames_BT, batch.video_BTCHW, strict=True):
                offsets = {10: [0, 1, 2, 3], 25: [0, 3, 5, 8], 50: [0, 5, 10, 15]}[RATES[row]]
                assert (frames - frames[0]).tolist() == offsets
                pictures = video.permute(0, 2, 3, 1).numpy()
                assert [number_of(picture) for picture in pictures] == (100 * row + frames).tolist()
                windows[RATES[row]] += 1
        assert windows == {10: 4, 25: 4, 50: 4}


@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes")
@pytest.mark.parametrize("window", [by_seconds(10.0), by_seconds(10.0).replace("10.0", "null").replace(": 7", ": 2")])
def test_eight_processes_give_what_none_gives_and_every_epoch_is_new(
    root: Path, make_config: MakeConfig, tmp_path: Path, window: str
) -> None:
    config = make_config(root, window, batch_size=3)
    catalog = open_catalogs(config, config.groups, tmp_path / "bad.csv")["train"]
    drawn = []
    many = config.model_copy(update={"num_workers": 8})
    with closing(Loader(catalog, many, config.batch_size, config.seed, True, second_window=True)) as helped:
        for epoch in (0, 1):
            for one, other in zip(batches_of(catalog, config, epoch), helped.epoch(epoch), strict=True):
                assert one.other is not None
                assert other.other is not None
                for mine, its in ((one, other), (one.other, other.other)):
                    assert torch.equal(mine.video_BTCHW, its.video_BTCHW)
                    assert torch.equal(mine.row_B, its.row_B)
                    assert torch.equal(mine.frames_BT, its.frames_BT)
                drawn += [(epoch, row, int(f[0])) for row, f in zip(one.row_B.tolist(), one.frames_BT, strict=True)]
    first, second = ([pair[1:] for pair in drawn if pair[0] == epoch] for epoch in (0, 1))
    assert sorted(row for row, _ in first) == sorted(row for row, _ in second) == sorted(2 * list(range(6)))
    assert set(first) != set(second)
    assert [row for row, _ in first] != [row for row, _ in second]
    assert not torch.equal(
        batches_of(catalog, config.model_copy(update={"seed": config.seed + 1}), 0)[0].frames_BT,
        batches_of(catalog, config, 0)[0].frames_BT,
    )


def test_a_video_is_short_by_its_own_frame_rate(
    root: Path,
    make_config: MakeConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    write_video: Callable[..., Path],
) -> None:
    write_video(root / "train/2.mp4", 30, rate=50)  # 0.6 s; 30 frames are enough at 25 per second, not at 50
    for kept, rows in (("skip", 5), ("loop", 6), ("pad", 6)):
        caplog.clear()
        catalogs = open_catalogs(
            make_config(root, by_seconds(4.0), f"short_videos={kept}"), LEVELS, tmp_path / "bad.csv"
        )
        assert len(catalogs["train"].table) == rows
        (message,) = caplog.messages
        assert message == f"train: 1 of 6 videos are shorter than the window's 39 frames (short_videos: {kept})"
    with pytest.raises(
        InputError, match=r"window.length / frequency_fps needs 151 frames, .* has 100; .* raise window.fr"
    ):
        open_catalogs(make_config(root, by_seconds(1.0)), LEVELS, tmp_path / "bad.csv")


def test_videos_that_are_too_slow_repeat_frames_and_are_counted(
    root: Path, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(root, by_seconds(25.0))
    catalogs = open_catalogs(config, config.groups, tmp_path / "bad.csv")
    assert caplog.messages == [
        "train: 2 of 6 videos have fewer frames per second than window.frequency_fps (25) and repeat frames"
    ]
    for batch in batches_of(catalogs["train"], config, 0):
        for row, frames in zip(batch.row_B.tolist(), batch.frames_BT, strict=True):
            offsets = {10: [0, 0, 1, 1], 25: [0, 1, 2, 3], 50: [0, 2, 4, 6]}[RATES[row]]
            assert (frames - frames[0]).tolist() == offsets


def test_prepared_videos_without_a_frame_rate_are_listed_where_one_is_needed(
    make_config: MakeConfig, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    card = {"name": "mine", "format": "frames", "size": 32, "mean": [0.5] * 3, "std": [0.2] * 3, "flip": 0.5}
    header = ("path", "label", "frames", "height", "width", "fps", "stored")
    for split in ("train", "val", "test"):
        rates = ("0", "25.0", "29.97")
        rows = [(f"{split}/{rate}", "a", "40", "32", "48", rate, f"frames/{split}{rate}") for rate in rates]
        write_csv(tmp_path / f"{split}.csv", rows, header)
        for row in rows:
            (tmp_path / row[-1]).mkdir(parents=True)
    (tmp_path / "dataset.json").write_text(json.dumps(card))
    catalogs = open_catalogs(make_config(tmp_path, by_seconds(10.0)), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].table["path"].tolist() == ["train/25.0", "train/29.97"]
    assert catalogs["train"].listed == 3
    reasons = [f'{split},{split}/0,"{NO_FRAME_RATE}"' for split in ("train", "val", "test")]
    assert listed(tmp_path / "bad.csv").splitlines() == ["split,path,reason", *reasons]
    catalogs = open_catalogs(make_config(tmp_path), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].table["fps"].tolist() == [0.0, 25.0, 29.97]
    assert listed(tmp_path / "bad.csv").splitlines() == ["split,path,reason"]


def test_videos_without_a_frame_rate_are_listed_where_one_is_needed(
    root: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_one(root: Path, paths: list[str], folder: Path, num_workers: int) -> VerifiedVideos:
        found = verified_videos(root, paths, folder, num_workers)
        found.table.loc["train/1.mp4", "fps"] = 0.0
        return found

    monkeypatch.setattr("data_utils.batches.opening.verified_videos", without_one)
    catalogs = open_catalogs(make_config(root, by_seconds(10.0)), LEVELS, tmp_path / "bad.csv")
    assert catalogs["train"].table["path"].tolist() == [f"train/{number}.mp4" for number in (0, 2, 3, 4, 5)]
    assert listed(tmp_path / "bad.csv").splitlines() == [
        "split,path,reason",
        f'train,train/1.mp4,"{NO_FRAME_RATE}"',
    ]
    catalogs = open_catalogs(make_config(root), LEVELS, tmp_path / "bad.csv")
    assert len(catalogs["train"].table) == 6
