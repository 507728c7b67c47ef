"""The baselines load the right frames, and the whole benchmark runs at its smallest."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.data_loading import formats
from benchmarks.data_loading.__main__ import (
    DECORD,
    DECORD_SCALES,
    OPENCV_224,
    PACKED,
    PACKED_SMALL,
    PILLOW_224,
    PILLOW_240,
    main,
    speed_rows,
    targets,
)
from benchmarks.data_loading.baselines import (
    MEAN,
    SIDE,
    STD,
    Baseline,
    DecordWindows,
    OpenCVWindows,
    PillowWindows,
    Sample,
    Windows,
    write_frames,
)
from benchmarks.data_loading.data import WIDTHS
from benchmarks.data_loading.videos import make_videos
from data_utils.formats.video import VideoReader


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data_loading")
    make_videos(folder / "raw", 1, 30)
    file = next((folder / "raw").rglob("*.mp4"))
    for side, width in WIDTHS.items():
        write_frames(file, folder / f"frames_{side}", (side, width))
    return file


def samples(video: Path, dataset: Dataset[Tensor]) -> list[Sample]:
    places = [video.parents[2] / f"frames_{side}" for side in WIDTHS]
    return [Sample(place, [20, 3, 11]) for place in ([video] if isinstance(dataset, DecordWindows) else places)]


@pytest.mark.parametrize(
    "dataset", [DecordWindows(), DecordWindows((SIDE, WIDTHS[SIDE])), PillowWindows(), OpenCVWindows()]
)
def test_baseline_gives_the_frames_that_our_reader_gives(dataset: Dataset[Tensor], video: Path) -> None:
    ours = torch.from_numpy(VideoReader().read(video, np.array([20, 3, 11]), (SIDE, SIDE)))
    expected = (ours.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    for sample in samples(video, dataset):
        frames = dataset[sample]
        assert frames.dtype == torch.float32
        assert frames.shape == (3, 3, SIDE, SIDE)
        own, other = ((frames - of).abs().mean(dim=(1, 2, 3)) for of in (expected, expected.roll(1, 0)))
        assert (own < 0.25).all(), own
        assert (own < other / 2).all(), (own, other)


def test_windows_are_a_function_of_the_turn_and_stay_inside_the_video() -> None:
    windows = Windows([Path("a"), Path("b")], num_frames=12, length=3, frequency=5, batch_size=64)
    batches = windows.drawn(turn=1, count=2)
    assert batches == windows.drawn(turn=1, count=2) != windows.drawn(turn=2, count=2)
    samples = [sample for batch in batches for sample in batch]
    assert {sample.place for sample in samples} == {Path("a"), Path("b")}
    assert {tuple(sample.frames) for sample in samples} == {(0, 5, 10), (1, 6, 11)}


def test_baseline_gives_as_many_batches_as_are_asked_for(video: Path) -> None:
    baseline = Baseline(PillowWindows(), Windows([video.parents[2] / "frames_224"], 30, 2, 5, 3), num_workers=2)
    for turn in range(2):
        assert [batch.shape for batch in baseline.batches(turn, 4)] == [(3, 2, 3, SIDE, SIDE)] * 4
    baseline.close()


def test_targets_are_judged_by_medians() -> None:
    others = {name: [100.0, 110.0, 10.0] for name in (DECORD, DECORD_SCALES, PILLOW_240, PILLOW_224, OPENCV_224)}
    lines = targets(others | {PACKED: [800.0, 879.0, 80.0], PACKED_SMALL: [11_999.0, 20_000.0, 1.0]})
    assert [line.startswith("reached") for line in lines] == [True] * 5 + [False]
    lines = targets(others | {PACKED: [200.0, 870.0, 60.0], PACKED_SMALL: [12_001.0, 20_000.0, 1.0]})
    assert [line.startswith("reached") for line in lines] == [False] * 2 + [True] * 4


def test_table_shows_median_range_and_ratio() -> None:
    rows = speed_rows({DECORD: [100.0, 110.0, 10.0], PACKED: [1_200.0]})
    assert rows[2:] == [f"| {DECORD} | 100 | 10..110 | 1.0x |", f"| {PACKED} | 1,200 | 1,200..1,200 | 12.0x |"]


def test_prints_all_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "DECODERS", ("pyav",))  # the others differ in nothing but their name
    smallest = {"videos": 6, "frames": 96, "rounds": 1, "seconds": 0.01, "batch-size": 1, "workers": 1}
    main([f"--{name}={value}" for name, value in smallest.items()])
    printed = capsys.readouterr().out
    for name in ("decord per sample", "packed, 60x80", "frames, 224x224", "hdf5, 224x224", "video re-encoded, pyav"):
        assert re.search(rf"{name}[^|]* \| [\d,]+ \|", printed), printed
    assert len(re.findall(r"^(?:not )?reached: ", printed, re.MULTILINE)) == 6
    assert len(re.findall(r"^\| [\w, -]+ \| [\d,]+ \| [\d,]+ \| [\d.]+ \| [\d.]+ \|$", printed, re.MULTILINE)) == 5


def test_prints_start_up_and_memory(capfd: pytest.CaptureFixture[str]) -> None:
    main(["--memory", "--rows", "60", "--rounds", "1", "--epochs", "2", "--batches", "2"])
    printed = capfd.readouterr().out
    assert "60 rows" in printed
    assert "Loader and first batch" in printed
    assert len(re.findall(r"^\| \d \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [+-][\d.]+ % \|$", printed, re.MULTILINE)) == 2
