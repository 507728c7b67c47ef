from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.prepare import moving_digits
from data_utils.prepare.moving_digits import FRAMES, PROGRAMS, SIZE, SPLITS, render

# (rows, columns), row 0 at the top
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
VIDEOS = {"train": 24, "val": 12, "test": 12}  # those of the fixture tiny_dataset


def prepare(root: Path, videos: Mapping[str, int] = VIDEOS, seed: int = 0) -> None:
    with joblib.parallel_config(backend="sequential"):
        moving_digits.prepare(root, videos, seed)


def contents(root: Path) -> dict[str, bytes]:
    # .verified_videos.json is what reading the dataset leaves beside it.
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def decode(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


# ------------------------------------------------------------------------------------------------------- videos


def test_the_bytes_are_a_function_of_the_seed(tiny_dataset: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "again")
    first, again = contents(tiny_dataset), contents(tmp_path / "again")
    assert len(first) == sum(VIDEOS.values()) + len(SPLITS) + 1
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []

    prepare(tmp_path / "other", seed=1)
    other = contents(tmp_path / "other")
    assert all(first[name] != other[name] for name in first if name.endswith(".mp4"))


def test_writing_in_parallel_gives_the_same(tiny_dataset: Path, tmp_path: Path) -> None:
    with joblib.parallel_config(backend="threading"):
        moving_digits.prepare(tmp_path / "threads", VIDEOS, 0)
    assert contents(tmp_path / "threads") == contents(tiny_dataset)


def test_a_video_does_not_depend_on_how_many_there_are(tiny_dataset: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "fewer", {"train": 5, "val": 2, "test": 3})
    few, many = contents(tmp_path / "fewer"), contents(tiny_dataset)
    videos = [name for name in few if name.endswith(".mp4")]
    assert len(videos) == 10
    assert all(few[name] == many[name] for name in videos)


def test_videos_are_real_files_of_the_stated_form(tiny_dataset: Path) -> None:
    for path in sorted(tiny_dataset.rglob("*.mp4"))[::8]:
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
        frames = decode(path)
        assert frames.shape == (FRAMES, SIZE, SIZE, 3)
        assert frames.std() > 5


def test_splits_share_no_scan_of_a_digit() -> None:
    scans = moving_digits._scans()
    seen = {split: {scan.tobytes() for of_digit in scans[split] for scan in of_digit} for split in SPLITS}
    assert sum(len(of_digit) for split in SPLITS for of_digit in scans[split]) == 1797
    assert sum(map(len, seen.values())) == len(set.union(*seen.values()))
    assert all(len(of_digit) >= 20 for split in SPLITS for of_digit in scans[split])


def test_every_split_draws_from_its_own_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[tuple[int, bytes]]] = {}

    def record(scan: NDArray[np.float32], program: tuple[str, str], rng: Any) -> NDArray[np.uint8]:
        drawn[split].append((index // 12 % 10, scan.tobytes()))
        return np.zeros((1, 2, 2, 3), np.uint8)

    monkeypatch.setattr(moving_digits, "render", record)
    monkeypatch.setattr(moving_digits, "_encode", lambda frames, path: None)
    for split in SPLITS:
        drawn[split] = []
        for index in range(240):
            row = moving_digits._write_video(tmp_path, 0, split, index)
            assert int(row["digit"]) == drawn[split][-1][0]
        own = [{scan.tobytes() for scan in of_digit} for of_digit in moving_digits._scans()[split]]
        assert all(scan in own[digit] for digit, scan in drawn[split])
        assert len({scan for _, scan in drawn[split]}) > 100


# ------------------------------------------------------------------------------------------------------- labels


def test_labels_are_balanced_and_independent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_digits, "render", lambda scan, program, rng: np.zeros((1, 2, 2, 3), np.uint8))
    monkeypatch.setattr(moving_digits, "_encode", lambda frames, path: None)
    prepare(tmp_path / "data", {"train": 240, "val": 120, "test": 120})
    for split, count in (("train", 240), ("val", 120), ("test", 120)):
        table = pd.read_csv(tmp_path / "data" / f"{split}.csv", dtype=str)
        assert list(table.columns) == ["path", "program", "motion", "digit"]
        assert set(Counter(zip(table["program"], table["digit"], strict=True)).values()) == {count // 120}
        assert table["program"].nunique() == 12
        assert table["digit"].nunique() == 10
        for row in table.itertuples():
            first, second = str(row.motion).split("|")
            assert first != second
            assert row.program == f"{first}-{second}"
            assert {first, second} <= set(DIRECTIONS)
        halves = Counter(half for motion in table["motion"] for half in motion.split("|"))
        assert set(halves.values()) == {count // 2}


def seen_motion(frames: NDArray[np.uint8]) -> str:
    """The direction in which the centre of the brightest pixels moves."""
    grey = frames[..., 0].astype(float)
    weight = np.clip(grey - np.quantile(grey, 0.96, axis=(1, 2), keepdims=True), 0, None)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    centres = np.stack([(weight * axis).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)) for axis in (rows, columns)], axis=1)
    time = np.arange(len(frames)) - (len(frames) - 1) / 2
    return max(DIRECTIONS, key=lambda name: float(time @ centres @ np.array(DIRECTIONS[name])))


def test_the_pixels_move_as_the_label_says(tiny_dataset: Path) -> None:
    right = []
    for split in SPLITS:
        for row in pd.read_csv(tiny_dataset / f"{split}.csv", dtype=str).itertuples():
            halves = np.split(decode(tiny_dataset / str(row.path)), 2)
            right += [seen_motion(half) == name for half, name in zip(halves, str(row.motion).split("|"), strict=True)]
    assert len(right) == 2 * sum(VIDEOS.values())
    assert np.mean(right) > 0.95  # backgrounds are brighter than a few digits; by chance a quarter would be right


@pytest.mark.parametrize("program", PROGRAMS, ids="-".join)
def test_the_digit_moves_evenly_and_stays_inside_the_frame(program: tuple[str, str]) -> None:
    for seed in range(20):
        side = 11.0 + 0.15 * seed
        path = moving_digits._path(program, SIZE - side, np.random.default_rng(seed))
        assert path.shape == (FRAMES, 2)
        assert path.min() >= -1e-9
        assert (path + side).max() <= SIZE + 1e-9
        # The first frame is one step after the start of the first motion.
        for name, part in zip(program, (path[: FRAMES // 2], path[FRAMES // 2 - 1 :]), strict=True):
            steps = np.diff(part, axis=0)
            np.testing.assert_allclose(steps, steps[:1].repeat(len(steps), axis=0), atol=1e-9)
            np.testing.assert_allclose(steps[0] / np.abs(steps[0]).sum(), DIRECTIONS[name], atol=1e-9)
            assert 9 - 1e-9 <= np.abs(steps[0]).sum() * FRAMES / 2 <= 10 + 1e-9


@pytest.mark.parametrize("number", [0, 4, 11])
def test_nothing_of_the_digit_is_cut_off(number: int) -> None:
    for seed in range(4):
        # A full square instead of a digit, and nothing, over the same background: rows and columns that it covers.
        frames, empty = (
            render(np.full((8, 8), value, np.float32), PROGRAMS[number], np.random.default_rng([seed, number]))
            for value in (1, 0)
        )
        assert frames.shape == (FRAMES, SIZE, SIZE, 3)
        assert frames.dtype == np.uint8
        square = frames[..., 0].astype(int) - empty[..., 0] > 25
        for axis in (1, 2):
            covered = square.any(axis=axis).sum(axis=1)
            assert covered.min() >= covered.max() - 2
            assert covered.min() >= 9


# ------------------------------------------------------------------------------------------------------- folder


def test_a_second_start_reuses_the_folder(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_dataset, root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    def write_nothing(*_: object) -> dict[str, str]:
        raise AssertionError("a video was written")

    monkeypatch.setattr(moving_digits, "_write_video", write_nothing)
    prepare(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_missing_parents_are_made_and_an_empty_folder_is_used(tmp_path: Path) -> None:
    few = {"train": 1, "val": 1, "test": 1}
    prepare(tmp_path / "a" / "b", few)
    (tmp_path / "empty").mkdir()
    prepare(tmp_path / "empty", few)
    assert contents(tmp_path / "a" / "b") == contents(tmp_path / "empty")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize(("videos", "seed"), [(VIDEOS, 1), (VIDEOS | {"val": 13}, 0)])
def test_a_folder_made_with_other_numbers_is_kept(tiny_dataset: Path, videos: dict[str, int], seed: int) -> None:
    before = contents(tiny_dataset)
    with pytest.raises(InputError, match=r"holds moving_digits made with .*; remove it or set dataset.root") as info:
        prepare(tiny_dataset, videos, seed)
    assert "\n" not in str(info.value)
    assert contents(tiny_dataset) == before


def test_an_older_version_is_not_taken_for_this_one(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_digits, "VERSION", moving_digits.VERSION + 1)
    with pytest.raises(InputError, match="holds moving_digits made with"):
        prepare(tiny_dataset)


@pytest.mark.parametrize("spec", [None, "", "{", "[1]"])
def test_a_folder_or_file_of_someone_else_is_kept(tmp_path: Path, spec: str | None) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (root / "cat.jpg").write_bytes(b"x")
    if spec is not None:
        (root / moving_digits.SPEC_FILE).write_text(spec)
    before = contents(root)
    with pytest.raises(InputError, match=re.escape(str(root))):
        prepare(root)
    assert contents(root) == before
    with pytest.raises(InputError, match="is no moving_digits dataset"):
        prepare(root / "cat.jpg")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match=r"cannot be written to .*set dataset.root"):
        prepare(tmp_path / "file" / "data")


def test_a_folder_without_write_permission_is_told(tmp_path: Path, bound_by_rights: None) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"Permission denied; set dataset.root"):
        prepare(closed / "data")


def test_a_failed_or_interrupted_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, raised in (
        (OSError(28, "No space left on device"), InputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def fail(*_: object, error: BaseException = error) -> dict[str, str]:
            raise error

        monkeypatch.setattr(moving_digits, "_write_video", fail)
        with pytest.raises(raised):
            prepare(tmp_path / "data")
        assert list(tmp_path.iterdir()) == []


def test_another_process_may_be_faster(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, write = tmp_path / "data", moving_digits._write_video

    def overtaken(folder: Path, seed: int, split: str, index: int) -> dict[str, str]:
        if not root.exists():
            shutil.copytree(tiny_dataset, root)
        return write(folder, seed, split, index)

    monkeypatch.setattr(moving_digits, "_write_video", overtaken)
    prepare(root)
    assert contents(root) == contents(tiny_dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
