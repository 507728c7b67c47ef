from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_utils.prepare import ucf101

CLASSES = ["ApplyEyeMakeup", "HandstandPushups"]
Any_ = Callable[..., Any]


def names(label: str, groups: range) -> list[str]:
    # As in the real download: the folder is HandstandPushups, the files are v_HandStandPushups.
    inside = label.replace("Handstand", "HandStand")
    return [f"{label}/v_{inside}_g{group:02d}_c{clip:02d}.avi" for group in groups for clip in (1, 2)]


def write_lists(folder: Path, split: int = 1, test_groups: range = range(1, 8)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classInd.txt").write_text("1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n")
    train = [g for g in range(1, 26) if g not in test_groups]
    lines = [
        f"{name} {n}" for n, label in enumerate(CLASSES, 1) for g in train for name in names(label, range(g, g + 1))
    ]
    (folder / f"trainlist0{split}.txt").write_text("\n".join(lines) + "\n")
    (folder / f"testlist0{split}.txt").write_text("\n".join(n for c in CLASSES for n in names(c, test_groups)) + "\n")
    return folder


@pytest.fixture
def raw(tmp_path: Path, touch: Any_) -> Path:
    raw: Path = touch(tmp_path / "raw", [f"UCF-101/{name}" for label in CLASSES for name in names(label, range(1, 26))])
    write_lists(raw / "ucfTrainTestlist")
    return raw


def test_official_list(raw: Path, listed: Any_, by_split: Any_) -> None:
    write_lists(raw / "ucfTrainTestlist", 2, range(8, 15))
    for split, tested in (("1", range(1, 8)), ("2", range(8, 15))):
        listing = listed(ucf101, raw, "--split", split)
        assert (listing.name, listing.flip, listing.absent) == ("ucf101", 0.5, [])
        groups = {part: set(values) for part, values in by_split(listing, "group").items()}
        assert groups["test"] == {f"{label}_g{group:02d}" for label in CLASSES for group in tested}
        assert not groups["train"] & groups["val"]
        # 18 groups a class are left; 15 % of them, for each class.
        assert sorted(name[:5] for name in groups["val"]) == ["Apply"] * 3 + ["Hands"] * 3
        assert len(listing.table) == 100
        assert set(listing.table["label"]) == set(CLASSES)
        assert all(path.startswith(f"UCF-101/{label}/") for path, label in listing.table[["path", "label"]].values)
        assert f"official test list {split}" in listing.notes[0]
    again, other = listed(ucf101, raw, "--split", "2"), listed(ucf101, raw, "--split", "2", "--seed", "1")
    assert again.table.equals(listing.table)
    assert not other.table.equals(listing.table)
    assert sum(other.table["split"] == "val") == sum(listing.table["split"] == "val")


def test_own_split_by_group_needs_no_lists(tmp_path: Path, touch: Any_, listed: Any_, by_split: Any_) -> None:
    raw = touch(tmp_path, [name for label in CLASSES for name in names(label, range(1, 26))])
    listing = listed(ucf101, raw, "--split", "group", "--val", "0.2", "--test-share", "0.4")
    groups = {part: set(values) for part, values in by_split(listing, "group").items()}
    assert {part: len(values) for part, values in groups.items()} == {"train": 20, "val": 10, "test": 20}
    assert len(set.union(*groups.values())) == 50


def test_other_layouts(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    # Other spellings of folders, other extension, other places.
    moved = [f"clips/{'apply eye makeup' if 'Apply' in n else 'HANDSTAND_PUSHUPS'}/{Path(n).stem}.MP4" for c in CLASSES
             for n in names(c, range(1, 26))]  # fmt: skip
    raw = touch(tmp_path / "raw", moved)
    lists = write_lists(tmp_path / "elsewhere")
    listing = listed(ucf101, raw, "--lists", lists, "--videos", "clips")
    assert sorted(listing.table["path"]) == sorted(moved)
    assert set(listing.table["label"]) == set(CLASSES)
    own = listed(ucf101, raw, "--lists", lists, "--split", "group")
    assert set(own.table["label"]) == set(CLASSES)


def test_what_is_not_there_and_what_is_not_listed_is_told(raw: Path, listed: Any_, touch: Any_, unused: Any_) -> None:
    gone = ["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "ApplyEyeMakeup/v_ApplyEyeMakeup_g20_c02.avi"]
    for path in gone:
        (raw / "UCF-101" / path).unlink()
    touch(
        raw, ["UCF-101/ApplyEyeMakeup/v_Extra_g01_c01.avi", "UCF-101/ApplyEyeMakeup/.hidden.avi", "UCF-101/notes.txt"]
    )
    listing = listed(ucf101, raw)
    assert sorted((path, reason) for _, path, reason in listing.absent) == [(path, "missing") for path in gone]
    assert len(listing.table) == 98
    left = unused(raw, listing)
    assert left["UCF-101/ApplyEyeMakeup/v_Extra_g01_c01.avi"] == "a video that no list names"
    assert left["UCF-101/notes.txt"] == "a file that no list names"
    assert left["UCF-101/ApplyEyeMakeup/.hidden.avi"].startswith("hidden")


def test_the_out_folder_is_no_part_of_the_download(raw: Path, touch: Any_) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    ucf101.add_arguments(parser)
    options = parser.parse_args(["--videos", "."])
    options.raw, options.out = raw, raw / "prepared"
    before = ucf101.list_videos(options).table
    touch(raw, [f"prepared/videos/{name}" for name in names("ApplyEyeMakeup", range(1, 5))])
    assert ucf101.list_videos(options).table.equals(before)


def test_wrong_lists(raw: Path, refused: Any_) -> None:
    lists = raw / "ucfTrainTestlist"
    good = (lists / "trainlist01.txt").read_text()
    first = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi"
    cases = {
        good + "Arching/v_Arching_g08_c01.avi 3\n": "trainlist01.txt, line 73: 'Arching' is not a class of",
        good + "v_ApplyEyeMakeup_g08_c09.avi 1\n": "line 73: 'v_ApplyEyeMakeup_g08_c09.avi 1' is not of the form",
        good + "../ApplyEyeMakeup/v_A_g08_c09.avi 1\n": "is not of the form `Class/video.avi`",
        good + f"{first} 1\n": "line 73: " + first + " is in ",
        good + "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c09.avi 2\n": "ApplyEyeMakeup is class 1 of",
        good + "ApplyEyeMakeup/strange.avi 1\n": "is not named v_Class_g01_c01.avi",
        good + "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 1\n": "is in",  # also tested on
        "\n\n": "trainlist01.txt is empty",
    }
    for text, message in cases.items():
        (lists / "trainlist01.txt").write_text(text)
        assert message in refused(ucf101, raw)
    (lists / "trainlist01.txt").write_bytes(b"caf\xe9/x.avi 1\n")
    assert "trainlist01.txt is not UTF-8 text" in refused(ucf101, raw)
    (lists / "trainlist01.txt").unlink()
    assert "trainlist01.txt is missing; set --lists" in refused(ucf101, raw)


def test_wrong_classes(raw: Path, refused: Any_) -> None:
    for text, message in {
        "ApplyEyeMakeup\n": "classInd.txt, line 1: 'ApplyEyeMakeup' is not of the form `number class`",
        "1 ApplyEyeMakeup\n2 ApplyEyeMakeup\n": "line 2: ApplyEyeMakeup is listed before",
        "1 ApplyEyeMakeup\n2 Apply Eye Makeup\n": "differ in spelling only",
        "": "classInd.txt is empty",
    }.items():
        (raw / "ucfTrainTestlist" / "classInd.txt").write_text(text)
        assert message in refused(ucf101, raw)
    (raw / "ucfTrainTestlist" / "classInd.txt").unlink()
    assert "classInd.txt is missing" in refused(ucf101, raw)


def test_wrong_folders(raw: Path, tmp_path: Path, touch: Any_, refused: Any_) -> None:
    assert "no is not a folder; set --raw" in refused(ucf101, tmp_path / "no")
    assert "is not a folder; set --videos" in refused(ucf101, raw, "--videos", "no")
    assert "is not a folder; set --lists" in refused(ucf101, raw, "--lists", "no")
    assert "is not inside" in refused(ucf101, raw, "--videos", tmp_path)
    assert "--val-share must be above 0" in refused(ucf101, raw, "--val", "1")
    (tmp_path / "empty").mkdir()
    assert "holds no videos; set --videos" in refused(ucf101, tmp_path / "empty", "--split", "group")
    touch(raw, ["UCF-101/copy/v_ApplyEyeMakeup_g01_c01.mp4"])
    assert "v_ApplyEyeMakeup_g01_c01.mp4 have one name; choose a folder" in refused(ucf101, raw)
    lists = write_lists(tmp_path / "lists")
    assert "holds none of the 60 videos of train" in refused(ucf101, tmp_path / "empty", "--lists", lists)
    bytes_name = os.fsencode(raw / "UCF-101" / "ApplyEyeMakeup") + b"/v_\xff_g01_c01.avi"
    Path(os.fsdecode(bytes_name)).touch()
    (raw / "UCF-101/copy/v_ApplyEyeMakeup_g01_c01.mp4").unlink()
    assert "a file name must be UTF-8" in refused(ucf101, raw, "--split", "group")
