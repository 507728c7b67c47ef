from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from config.errors import InputError
from data_utils.prepare.folder import Columns, prepare

SHARES = {"val": 0.15, "test": 0.15}


def make_folder(raw: Path, classes: dict[str, int]) -> Path:
    for name, count in classes.items():
        (raw / name).mkdir(parents=True)
        for index in range(count):
            (raw / name / f"{index:02d}.MP4").touch()
    return raw


def make_csv(file: Path, rows: list[tuple[str, str, str]], header: str = "path,label,subject") -> Path:
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return file


def test_a_folder_is_split_within_each_class(tmp_path: Path) -> None:
    raw = make_folder(tmp_path / "raw", {"b c": 20, "a": 40, "tiny": 3})
    (raw / "a" / "notes.txt").touch()
    (raw / "a" / "._00.MP4").touch()
    (raw / "stray.mp4").touch()
    tables = prepare(raw, tmp_path / "out", None, Columns(), SHARES, 0)
    counts = {split: table["label"].value_counts().to_dict() for split, table in tables.items()}
    assert counts == {
        "train": {"a": 28, "b c": 14, "tiny": 1},
        "val": {"a": 6, "b c": 3, "tiny": 1},
        "test": {"a": 6, "b c": 3, "tiny": 1},
    }
    paths = [path for table in tables.values() for path in table["path"]]
    assert sorted(paths) == sorted(file.relative_to(raw).as_posix() for file in raw.glob("*/[0-9]*.MP4"))
    for split, table in tables.items():
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / f"{split}.csv", dtype=str), table)
        assert list(table.columns) == ["path", "label"]


def test_the_same_seed_gives_the_same_split_and_another_one_another(tmp_path: Path) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 20, "b": 20})
    first = prepare(raw, tmp_path / "out", None, Columns(), SHARES, 0)
    again = prepare(raw, tmp_path / "out", None, Columns(), SHARES, 0)
    assert all(first[split].equals(again[split]) for split in first)
    before = (tmp_path / "out" / "train.csv").read_text()
    with pytest.raises(InputError, match=r"exists and differs; remove it or choose another --out"):
        prepare(raw, tmp_path / "out", None, Columns(), SHARES, 1)
    assert (tmp_path / "out" / "train.csv").read_text() == before
    other = prepare(raw, tmp_path / "other", None, Columns(), SHARES, 1)
    assert not first["test"].equals(other["test"])


def test_a_group_is_in_one_split_alone(tmp_path: Path) -> None:
    rows = [(f"{who}/{index}.mp4", "ab"[index % 2], who) for who in "pqrstuvw" for index in range(5)]
    csv = make_csv(tmp_path / "list.csv", rows, "file,class,subject")
    tables = prepare(tmp_path, tmp_path / "out", csv, Columns("file", "class", "subject"), SHARES, 0)
    groups = [set(table["group"]) for table in tables.values()]
    assert [len(group) for group in groups] == [6, 1, 1]
    assert set.union(*groups) == set("pqrstuvw")
    assert sum(len(table) for table in tables.values()) == 40
    assert list(tables["train"].columns) == ["path", "label", "group"]


def test_speakers_of_the_real_lips_are_kept_apart(real_files: Path, tmp_path: Path) -> None:
    raw = real_files / "lips_phrases"
    tables = prepare(raw, tmp_path, raw / "labels.csv", Columns(group="subject"), SHARES, 0)
    assert {split: (len(t), t["group"].nunique()) for split, t in tables.items()} == {
        "train": (1100, 11),
        "val": (200, 2),
        "test": (200, 2),
    }
    assert len(set.union(*(set(table["group"]) for table in tables.values()))) == 15


def test_wrong_input_gets_one_line(tmp_path: Path) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 20, "b": 2})
    good = [(f"{index}.mp4", "a", str(index % 2)) for index in range(9)]
    lists = {
        "same": make_csv(tmp_path / "same.csv", [*good, good[0]]),
        "hole": make_csv(tmp_path / "hole.csv", [*good, ("x.mp4", "", "1")]),
        "good": make_csv(tmp_path / "good.csv", good),
    }
    cases = [
        (tmp_path / "no", None, Columns(), SHARES, "no is no folder; set --raw"),
        (raw / "a", None, Columns(), SHARES, "holds no class/video.ext"),
        (raw, None, Columns(), SHARES, "class 'b' has 2 videos, too few"),
        (raw, None, Columns(), {"val": 0.5, "test": 0.5}, "must be above 0 and leave something for train"),
        (raw, lists["same"], Columns(), SHARES, "line 11: 0.mp4 is listed before"),
        (raw, lists["hole"], Columns(), SHARES, "line 11: nothing in column 'label'"),
        (raw, lists["good"], Columns(label="word"), SHARES, "has no column 'word', only path, label, subject"),
        (raw, lists["good"], Columns(group="subject"), SHARES, "2 groups cannot be dealt"),
        (raw, tmp_path / "missing.csv", Columns(), SHARES, "missing.csv is missing"),
    ]
    for folder, csv, columns, shares, message in cases:
        with pytest.raises(InputError) as error:
            prepare(folder, tmp_path / "out", csv, columns, shares, 0)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
