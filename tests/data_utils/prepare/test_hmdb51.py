from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_utils.catalog.source_groups import film
from data_utils.prepare import hmdb51

CODES = "u_cm_np1_fr_med"
ODD = ["#20_Rhythm_clap", "a & b; (c)! d_clap", "50_FIRST_DATES_'x'_clap"]
Any_ = Callable[..., Any]


def clip(source: str, label: str, number: int) -> str:
    return f"{source}_{label}_{CODES}_{number}.avi"


def contents() -> dict[str, list[tuple[str, int]]]:
    """(name, use) by class: 10 films in train of two clips each, 4 in test, one unused."""
    lists: dict[str, list[tuple[str, int]]] = {}
    for label in ("brush_hair", "clap"):
        films = [(f"film{n}", 1) for n in range(10)] + [(f"test{n}", 2) for n in range(4)] + [("spare", 0)]
        lists[label] = [(clip(source, label, n), use) for source, use in films for n in range(2)]
    lists["clap"] += [(f"{name}_{CODES}_0.avi", 1) for name in ODD]
    return lists


@pytest.fixture
def raw(tmp_path: Path, touch: Any_) -> Path:
    lists = contents()
    raw: Path = touch(tmp_path / "raw", [f"{label}/{name}" for label, rows in lists.items() for name, _ in rows])
    write_lists(raw / "testTrainMulti_7030_splits", lists)
    return raw


def write_lists(folder: Path, lists: dict[str, list[tuple[str, int]]]) -> Path:
    folder.mkdir(parents=True)
    for label, rows in lists.items():
        for split in (1, 2):
            shift = {0: 0, 1: 1, 2: 2} if split == 1 else {0: 0, 1: 2, 2: 1}
            text = "".join(f"{name} {shift[use]} \n" for name, use in rows)  # the official ones end with a blank
            (folder / f"{label}_test_split{split}.txt").write_text(text)
    return folder


def test_official_split(raw: Path, listed: Any_, by_split: Any_, unused: Any_) -> None:
    listing = listed(hmdb51, raw)
    assert (listing.name, listing.flip, listing.absent) == ("hmdb51", 0.5, [])
    groups = {split: set(values) for split, values in by_split(listing, "group").items()}
    assert groups["test"] == {f"test{n}" for n in range(4)}
    assert len(groups["val"]) == 3  # 15 % of the films of the class that they come first in: of 10 in brush_hair, of 3
    assert not groups["train"] & groups["val"]
    assert groups["train"] | groups["val"] == {f"film{n}" for n in range(10)} | {odd[: -len("_clap")] for odd in ODD}
    assert len(listing.table) == 2 * 28 + 3
    assert any("4 videos are in neither part of official split 1" in note for note in listing.notes)
    reasons = list(unused(raw, listing).values())
    assert reasons.count("in neither part of official split 1") == 4
    assert "a video that no list names" not in reasons
    other = listed(hmdb51, raw, "--split", "2")
    assert set(by_split(other, "group")["test"]) == groups["train"] | groups["val"]


def test_one_film_in_two_classes_is_in_one_split(raw: Path, listed: Any_) -> None:
    table = listed(hmdb51, raw, "--val", "0.4").table
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert (table.groupby("group")["label"].nunique() == 2).sum() == 14


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair", "April_09"),
        ("#20_Rhythm_clap_u_nm_np1_fr_goo_12.avi", "clap", "#20_Rhythm"),
        ("A_fight_of_2_sword_f_cm_np2_le_bad_1.avi", "sword", "A_fight_of_2"),
        ("Film_run_f_cm_np1_ba_med_3.avi", "walk", "Film_run"),  # the folder's class is not in the name
        ("home video (2)_7.avi", "walk", "home video (2)"),
        ("plain.avi", "walk", "plain"),
    ],
)
def test_film_of_a_clip(name: str, label: str, expected: str) -> None:
    assert film(name, label) == expected


@pytest.mark.parametrize("place", ["hmdb51_org", "videos", "other"])
def test_layouts(tmp_path: Path, touch: Any_, listed: Any_, place: str) -> None:
    lists = contents()
    # Each class's archive may be unpacked into a folder of its own, and folders may be spelled otherwise.
    files = [f"{place}/{k.replace('_', ' ').title()}/{k}/{name}" for k, rows in lists.items() for name, _ in rows]
    raw = touch(tmp_path / "raw", files)
    write_lists(raw / "test_train_splits" / "testTrainMulti_7030_splits", lists)
    options = ["--videos", place] if place == "other" else []
    listing = listed(hmdb51, raw, *options)
    assert set(listing.table["label"]) == set(lists)
    assert len(listing.table) == 59


def test_same_name_in_two_classes(tmp_path: Path, touch: Any_, listed: Any_, refused: Any_) -> None:
    rows = [(f"x{n}_0.avi", 1 + n // 4) for n in range(8)]
    raw = touch(tmp_path / "raw", [f"{label}/{name}" for label in ("a", "b") for name, _ in rows])
    write_lists(raw / "splits", {"a": rows, "b": rows})
    assert len(listed(hmdb51, raw).table) == 16
    touch(raw, ["copy/a/x0_0.mp4"])
    assert "a/x0_0.avi and copy/a/x0_0.mp4 have one name" in refused(hmdb51, raw)


def test_missing_videos_are_told(raw: Path, listed: Any_) -> None:
    (raw / "clap" / clip("film0", "clap", 0)).unlink()
    (raw / "clap" / clip("spare", "clap", 0)).unlink()
    listing = listed(hmdb51, raw)
    assert [(path, reason) for _, path, reason in listing.absent] == [(f"clap/{clip('film0', 'clap', 0)}", "missing")]


def test_wrong_input(raw: Path, tmp_path: Path, refused: Any_, touch: Any_) -> None:
    assert "holds no <class>_test_split3.txt; set --lists" in refused(hmdb51, raw, "--split", "3")
    assert "is not a folder; set --raw" in refused(hmdb51, tmp_path / "no")
    file = raw / "testTrainMulti_7030_splits" / "clap_test_split1.txt"
    good = file.read_text()
    for text, message in {
        good + "x_0.avi 3\n": "line 34: 'x_0.avi 3' is not of the form `video.avi 0|1|2`",
        good + "x_0.avi\n": "is not of the form `video.avi 0|1|2`",
        good + "../x_0.avi 1\n": "is not of the form `video.avi 0|1|2`",
        good + f"{clip('film0', 'clap', 0)} 2\n": "is in line 1 already",
        "": "clap_test_split1.txt is empty",
    }.items():
        file.write_text(text)
        assert message in refused(hmdb51, raw)
    file.write_bytes(b"\xff\xfe 1\n")
    assert "is not UTF-8 text" in refused(hmdb51, raw)
    file.write_text(good)
    file.with_name("Brush Hair_test_split1.txt").write_text("x_0.avi 1\n")
    assert "differ in spelling only" in refused(hmdb51, raw)
