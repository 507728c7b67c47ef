from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import av
import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.data import Difficulty
from config.errors import InputError
from data_utils.prepare import moving_digits
from data_utils.prepare.moving_digits import SPLITS
from data_utils.prepare.moving_digits_easy import FRAMES, SIZE

# (rows, columns), row 0 at the top
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
VIDEOS = {"train": 24, "val": 12, "test": 12}  # those of the fixture tiny_dataset


def prepare(
    root: Path, videos: Mapping[str, int] = VIDEOS, seed: int = 0, difficulty: Difficulty | None = None
) -> None:
    with joblib.parallel_config(backend="sequential"):
        if difficulty is None:
            moving_digits.prepare(root, videos, seed)
        else:
            moving_digits.prepare(root, videos, seed, difficulty)


@pytest.fixture(scope="module")
def hard_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the fixture tiny_dataset, but hard."""
    root = tmp_path_factory.mktemp("hard") / "moving_digits"
    prepare(root, difficulty="hard")
    return root


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
    assert len(first) == sum(VIDEOS.values()) + len(SPLITS) + 2
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []

    prepare(tmp_path / "other", seed=1)
    other = contents(tmp_path / "other")
    assert all(first[name] != other[name] for name in first if name.endswith(".mp4"))


def test_the_bytes_of_hard_videos_are_a_function_of_the_seed(hard_dataset: Path, tmp_path: Path) -> None:
    with joblib.parallel_config(backend="threading"):
        moving_digits.prepare(tmp_path / "threads", VIDEOS, 0, "hard")
    first = contents(hard_dataset)
    assert contents(tmp_path / "threads") == first

    prepare(tmp_path / "other", {"train": 5, "val": 2, "test": 3}, seed=1, difficulty="hard")
    prepare(tmp_path / "fewer", {"train": 5, "val": 2, "test": 3}, difficulty="hard")
    other, few = contents(tmp_path / "other"), contents(tmp_path / "fewer")
    videos = [name for name in few if name.endswith(".mp4")]
    assert len(videos) == 10
    assert all(few[name] == first[name] for name in videos)
    assert all(other[name] != first[name] for name in videos)


def test_easy_is_the_default_and_hard_shows_the_same_labels_otherwise(
    tiny_dataset: Path, hard_dataset: Path, tmp_path: Path
) -> None:
    prepare(tmp_path / "easy", difficulty="easy")
    easy, hard = contents(tiny_dataset), contents(hard_dataset)
    assert contents(tmp_path / "easy") == easy
    assert easy.keys() == hard.keys()
    alike = {f"{split}.csv" for split in SPLITS}
    assert {name for name in easy if easy[name] == hard[name]} == alike


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


def test_videos_are_real_files_of_the_stated_form(tiny_dataset: Path, hard_dataset: Path) -> None:
    for path in [*sorted(tiny_dataset.rglob("*.mp4"))[::8], *sorted(hard_dataset.rglob("*.mp4"))[::8]]:
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
            row = moving_digits._write_video(tmp_path, 0, "easy", split, index)
            assert int(row["digit"]) == drawn[split][-1][0]
        own = [{scan.tobytes() for scan in of_digit} for of_digit in moving_digits._scans()[split]]
        assert all(scan in own[digit] for digit, scan in drawn[split])
        assert len({scan for _, scan in drawn[split]}) > 100


def test_the_other_digit_of_hard_videos_is_of_another_class_and_of_the_same_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[bytes, bytes]] = []

    def record(scan: NDArray[np.float32], other_scan: NDArray[np.float32], *_: object) -> NDArray[np.uint8]:
        drawn.append((scan.tobytes(), other_scan.tobytes()))
        return np.zeros((1, 2, 2, 3), np.uint8)

    monkeypatch.setattr(moving_digits, "render_hard", record)
    monkeypatch.setattr(moving_digits, "_encode", lambda frames, path: None)
    for split in SPLITS:
        digit_of = {scan.tobytes(): digit for digit in range(10) for scan in moving_digits._scans()[split][digit]}
        pairs: Counter[tuple[int, int]] = Counter()
        for index in range(1200):
            row = moving_digits._write_video(tmp_path, 0, "hard", split, index)
            labelled, other = (digit_of[scan] for scan in drawn[-1])  # KeyError: a scan of another split
            assert labelled == int(row["digit"])
            pairs[labelled, other] += 1
        # Every other class with every labelled one, about 13 times each.
        assert set(pairs) == {(a, b) for a in range(10) for b in range(10) if a != b}
        assert max(pairs.values()) < 35


# ------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("difficulty", get_args(Difficulty))
def test_labels_are_balanced_and_independent(
    difficulty: Difficulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("render", "render_hard"):
        monkeypatch.setattr(moving_digits, name, lambda *_: np.zeros((1, 2, 2, 3), np.uint8))
    monkeypatch.setattr(moving_digits, "_encode", lambda frames, path: None)
    prepare(tmp_path / "data", {"train": 240, "val": 120, "test": 120}, difficulty=difficulty)
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


# ------------------------------------------------------------------------------------------------------- folder


@pytest.mark.parametrize("difficulty", get_args(Difficulty))
def test_a_second_start_reuses_the_folder(
    difficulty: Difficulty,
    tiny_dataset: Path,
    hard_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "data"
    shutil.copytree({"easy": tiny_dataset, "hard": hard_dataset}[difficulty], root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    def write_nothing(*_: object) -> dict[str, str]:
        raise AssertionError("a video was written")

    monkeypatch.setattr(moving_digits, "_write_video", write_nothing)
    prepare(root, difficulty=difficulty)
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


@pytest.mark.parametrize("difficulty", get_args(Difficulty))
def test_an_older_version_is_not_taken_for_this_one(
    difficulty: Difficulty, tiny_dataset: Path, hard_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = {"easy": tiny_dataset, "hard": hard_dataset}[difficulty]
    monkeypatch.setitem(moving_digits.VERSIONS, difficulty, moving_digits.VERSIONS[difficulty] + 1)
    with pytest.raises(InputError, match="holds moving_digits made with"):
        prepare(root, difficulty=difficulty)


def test_a_folder_that_says_nothing_of_its_difficulty_is_easy(tmp_path: Path) -> None:
    spec = {"name": "moving_digits", "version": 1, "seed": 0, "videos": VIDEOS}  # as the first version wrote it
    (tmp_path / moving_digits.SPEC_FILE).write_text(json.dumps(spec))
    before = contents(tmp_path)
    prepare(tmp_path, difficulty="easy")
    assert contents(tmp_path) == before


def test_a_folder_of_the_other_difficulty_is_kept(tiny_dataset: Path, hard_dataset: Path) -> None:
    easy, hard = "'difficulty': 'easy'", "'difficulty': 'hard'"
    for root, asked, made_with, asked_for in (
        (tiny_dataset, "hard", easy, hard),
        (hard_dataset, "easy", hard, easy),
    ):
        before = contents(root)
        with pytest.raises(
            InputError,
            match=f"made with .*{made_with}.*, but .*{asked_for}.* is asked for; remove it or set dataset.root",
        ):
            prepare(root, difficulty=cast(Difficulty, asked))
        assert contents(root) == before


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
    with pytest.raises(InputError, match="is not a moving_digits dataset"):
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

    def overtaken(folder: Path, seed: int, difficulty: Difficulty, split: str, index: int) -> dict[str, str]:
        if not root.exists():
            shutil.copytree(tiny_dataset, root)
        return write(folder, seed, difficulty, split, index)

    monkeypatch.setattr(moving_digits, "_write_video", overtaken)
    prepare(root)
    assert contents(root) == contents(tiny_dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
