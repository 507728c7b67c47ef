from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_utils.prepare import folder

Any_ = Callable[..., Any]


def make_folder(raw: Path, classes: dict[str, int]) -> Path:
    for name, count in classes.items():
        (raw / name).mkdir(parents=True)
        for index in range(count):
            (raw / name / f"{index:02d}.MP4").touch()
    return raw


def make_csv(file: Path, rows: Sequence[tuple[str, ...]], header: str = "path,label,subject") -> Path:
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return file


def test_a_folder_is_split_within_each_class(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    raw = make_folder(tmp_path / "raw", {"b c": 20, "a": 40, "tiny": 3})
    touch(raw, ["a/notes.txt", "a/._00.MP4", ".hidden/0.mp4", "stray.mp4", "a/deeper/0.mp4"])
    listing = listed(folder, raw)
    assert (listing.name, listing.flip, listing.absent, listing.notes) == ("folder", 0.5, [], [])
    assert list(listing.table.columns) == ["split", "path", "label"]
    counts = {split: rows["label"].value_counts().to_dict() for split, rows in listing.table.groupby("split")}
    assert counts == {
        "train": {"a": 28, "b c": 14, "tiny": 1},
        "val": {"a": 6, "b c": 3, "tiny": 1},
        "test": {"a": 6, "b c": 3, "tiny": 1},
    }
    assert sorted(listing.table["path"]) == sorted(
        file.relative_to(raw).as_posix() for file in raw.glob("*/[0-9]*.MP4")
    )


def test_the_same_seed_gives_the_same_split_and_another_one_another(tmp_path: Path, listed: Any_) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 20, "b": 20})
    first, again, other = (listed(folder, raw, "--seed", seed).table for seed in (0, 0, 1))
    assert first.equals(again)
    assert set(first["path"][first["split"] == "test"]) != set(other["path"][other["split"] == "test"])


def test_shares_and_flip(tmp_path: Path, listed: Any_) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 20, "b": 20})
    listing = listed(folder, raw, "--val", "0.1", "--test-share", "0.3", "--flip", "0")
    assert listing.table["split"].value_counts().to_dict() == {"train": 24, "test": 12, "val": 4}
    assert listing.flip == 0


@pytest.mark.parametrize("flip", ["1.5", "-1", "nan", "often"])
def test_a_flip_that_is_no_share_is_refused(tmp_path: Path, listed: Any_, flip: str) -> None:
    with pytest.raises(SystemExit):
        listed(folder, tmp_path, f"--flip={flip}")


def test_a_group_is_in_one_split_alone(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    rows = [(f"{who}/{index}.mp4", "ab"[index % 2], who) for who in "pqrstuvw" for index in range(5)]
    touch(tmp_path, [path for path, *_ in rows])
    csv = make_csv(tmp_path / "list.csv", rows, "file,class,subject")
    columns = ("--path-column", "file", "--label-column", "class", "--group-column", "subject")
    table = listed(folder, tmp_path, "--csv", csv, *columns).table
    groups = {split: set(part["group"]) for split, part in table.groupby("split")}
    assert {split: len(names) for split, names in groups.items()} == {"train": 6, "val": 1, "test": 1}
    assert set.union(*groups.values()) == set("pqrstuvw")
    assert len(table) == 40
    assert list(table.columns) == ["split", "path", "label", "group"]


def test_speakers_of_the_real_lips_are_kept_apart(real_files: Path, listed: Any_) -> None:
    listing = listed(folder, real_files / "lips_phrases", "--csv", "labels.csv", "--group-column", "subject")
    parts = {split: (len(part), part["group"].nunique()) for split, part in listing.table.groupby("split")}
    assert parts == {"train": (1100, 11), "val": (200, 2), "test": (200, 2)}
    assert listing.table["group"].nunique() == 15


def test_more_columns_are_kept(tmp_path: Path, listed: Any_, refused: Any_, touch: Any_) -> None:
    rows = [(f"{n}.mp4", "ab"[n % 2], f"the {n}. é", "") for n in range(20)]
    touch(tmp_path, [path for path, *_ in rows])
    csv = make_csv(tmp_path / "list.csv", rows, "path,label,caption,scene")
    table = listed(folder, tmp_path, "--csv", csv, "--keep-columns", "scene, caption").table
    assert list(table.columns) == ["split", "path", "label", "scene", "caption"]
    assert dict(table[["path", "caption"]].values) == {f"{n}.mp4": f"the {n}. é" for n in range(20)}
    assert "has no column 'verb'" in refused(folder, tmp_path, "--csv", csv, "--keep-columns", "scene,verb")
    for reserved in ("split", "frames", "stored"):
        message = refused(folder, tmp_path, "--csv", csv, "--keep-columns", reserved)
        assert f"--keep-columns {reserved}: prepare.py writes a column of that name" in message
    assert "--keep-columns needs --csv" in refused(folder, tmp_path, "--keep-columns", "scene")


def test_missing_videos_are_told_and_do_not_move_others(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    rows = [(f"{n}.mp4", "a") for n in range(20)]
    touch(tmp_path, [path for path, _ in rows])
    csv = make_csv(tmp_path / "list.csv", rows, "path,label")
    whole = listed(folder, tmp_path, "--csv", csv).table
    (tmp_path / "7.mp4").unlink()
    listing = listed(folder, tmp_path, "--csv", csv)
    assert [absent[1:] for absent in listing.absent] == [("7.mp4", "missing")]
    assert listing.table.equals(whole[whole["path"] != "7.mp4"].reset_index(drop=True))


def test_odd_names(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    names = ["a b.mp4", 'say "x".mp4', "it's, é.mp4", "new\nline.mp4", "日本.webm", "#1;&.mkv"]
    raw = touch(tmp_path, [f"my class, 'one'/{name}" for name in names])
    table = listed(folder, raw).table
    assert sorted(table["path"]) == sorted(f"my class, 'one'/{name}" for name in names)


def test_classes_with_a_link_or_without_rights(
    tmp_path: Path, listed: Any_, refused: Any_, bound_by_rights: None
) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 5})
    (raw / "b").symlink_to(make_folder(tmp_path / "other", {"x": 5}) / "x")
    assert set(listed(folder, raw).table["label"]) == {"a", "b"}
    (raw / "a").chmod(0)
    try:
        assert "a cannot be read: Permission denied" in refused(folder, raw)
        csv = make_csv(tmp_path / "list.csv", [("a/00.MP4", "a"), ("b/00.MP4", "a"), ("b/01.MP4", "a")], "path,label")
        assert "a cannot be read: Permission denied" in refused(folder, raw, "--csv", csv)
    finally:
        (raw / "a").chmod(0o755)


def test_wrong_input_gets_one_line(tmp_path: Path, refused: Any_) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 20, "b": 2})
    good: list[tuple[str, ...]] = [(f"{index}.mp4", "a", str(index % 2)) for index in range(9)]
    same = make_csv(tmp_path / "same.csv", [*good, ("./0.mp4", "a", "1")])
    hole = make_csv(tmp_path / "hole.csv", [*good, ("x.mp4", "", "1")])
    away = make_csv(tmp_path / "away.csv", [*good, ("../x.mp4", "a", "1")])
    lines = make_csv(tmp_path / "good.csv", good)
    none = make_csv(tmp_path / "none.csv", [])
    cases: list[tuple[Path, list[object], str]] = [
        (tmp_path / "no", [], "no is no folder; set --raw"),
        (raw / "a", [], "holds no class/video.ext"),
        (raw, [], "class 'b' has 2 videos, too few"),
        (raw, ["--val", "0.5", "--test", "0.5"], "must be above 0 and leave something for train"),
        (raw, ["--group-column", "subject"], "--group-column needs --csv, whose column it is"),
        (raw, ["--csv", same], "line 11: 0.mp4 is listed before, in line 2; keep one"),
        (raw, ["--csv", hole], "line 11: nothing in column 'label'"),
        (raw, ["--csv", away], f"line 11: ../x.mp4 is not inside {raw}"),
        (raw, ["--csv", lines, "--label-column", "word"], "has no column 'word', only path, label, subject"),
        (raw, ["--csv", lines, "--group-column", "subject"], "2 groups cannot be dealt"),
        (raw, ["--csv", lines], "holds none of the 7 videos of train"),
        (raw, ["--csv", none], "none.csv lists nothing"),
        (raw, ["--csv", tmp_path / "missing.csv"], "missing.csv is missing"),
    ]
    for root, arguments, message in cases:
        assert message in refused(folder, root, *arguments)
    Path(os.fsdecode(os.fsencode(raw / "a") + b"/\xff.mp4")).touch()
    assert "a file name must be UTF-8; rename it" in refused(folder, raw)
