from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_utils.prepare import kinetics

Any_ = Callable[..., Any]
HEADER = ("label", "youtube_id", "time_start", "time_end", "split")
CLASSES = ("archery", "massaging person's head", "tying knot (not on a tie)")
SPLITS = {"train": 10, "val": 4, "test": 5}
Row = tuple[str, str, str, str, str]


def rows(split: str) -> list[Row]:
    count = SPLITS[split]
    return [
        (label, f"{split[:2]}-_{number:07d}", str(number), str(number + 10), split)
        for c, label in enumerate(CLASSES)
        for number in range(100 * c, 100 * c + count)
    ]


def write(file: Path, lines: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return file


def write_all(folder: Path, name: str = "{}.csv") -> None:
    for split in SPLITS:
        write(folder / name.format(split), rows(split))


def named(row: Row) -> str:
    return f"{row[1]}_{int(row[2]):06d}_{int(row[3]):06d}"


LAYOUTS: dict[str, Callable[[Row], str]] = {
    "spaces": lambda r: f"{r[4]}/{r[0]}/{named(r)}.mp4",
    "underscores": lambda r: f"{r[4]}/{r[0].replace(' ', '_')}/{named(r)}.mp4",
    "no punctuation": lambda r: f"{r[0].translate(str.maketrans(' ', '_', '()' + chr(39)))}/{named(r)}.mkv",
    "flat": lambda r: f"{named(r)}.webm",
    "flat by split": lambda r: f"videos/{r[4]}/{named(r)}.mp4",
    "id alone": lambda r: f"{r[4]}/{r[0]}/{r[1]}.MP4",
    "unpadded": lambda r: f"compress/{r[4]}_256/{r[0]}/{r[1]}_{r[2]}_{r[3]}.mp4",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, touch: Any_, listed: Any_, layout: str) -> None:
    everything = [row for split in SPLITS for row in rows(split)]
    raw = touch(tmp_path, [LAYOUTS[layout](row) for row in everything])
    write_all(raw)
    listing = listed(kinetics, raw)
    assert (listing.name, listing.flip, listing.absent, listing.notes) == ("kinetics", 0.5, [], [])
    expected = {LAYOUTS[layout](row): (row[4], row[0], row[1]) for row in everything}
    found = {path: tuple(others) for path, *others in listing.table[["path", "split", "label", "group"]].values}
    assert found == expected
    assert list(listing.table["split"]) == [split for split in SPLITS for _ in rows(split)]


HEADERS: dict[str, Sequence[str]] = {
    "400": ("label", "youtube_id", "time_start", "time_end", "split", "is_cc"),
    "600 and 700": HEADER,
    "crawler": ("label-name", "video-id", "start-time", "end-time", "split"),
    "capitals": ("Label", "YouTube_ID", "Time Start", "Time End", "Split"),
    "no times": ("label", "youtube_id"),
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    "name", ["annotations/{}.csv", "kinetics-400_{}.csv", "kinetics700_2020/{}.csv", "k600_{}_2018.csv"]
)
def test_headers_and_places_of_lists(tmp_path: Path, touch: Any_, listed: Any_, header: str, name: str) -> None:
    columns = HEADERS[header]
    for split in SPLITS:
        lines = [(*row, "0")[: len(columns)] for row in rows(split)]
        if header == "400":
            lines = [(label, video, f"{start}.0", f"{end}.0", *rest) for label, video, start, end, *rest in lines]
        write(tmp_path / name.format(split), lines, columns)
    layout = LAYOUTS["id alone" if header == "no times" else "spaces"]
    raw = touch(tmp_path, [layout(row) for split in SPLITS for row in rows(split)])
    # Such as prepare.py writes, or others: no lists of the crawlers.
    write(raw / "other" / "train.csv", [("a.mp4", "archery")], ("path", "label"))
    (raw / "other" / "val.csv").write_bytes(b"\xff")
    assert len(listed(kinetics, raw).table) == 3 * sum(SPLITS.values())


def test_given_lists_and_a_list_of_all_splits(tmp_path: Path, touch: Any_, listed: Any_, refused: Any_) -> None:
    raw = touch(tmp_path / "raw", [LAYOUTS["flat"](row) for split in SPLITS for row in rows(split)])
    write_all(tmp_path / "lists", "my {}.csv")
    given = [part for split in SPLITS for part in (f"--{split}", tmp_path / "lists" / f"my {split}.csv")]
    first = listed(kinetics, raw, *given).table
    names = {"train": "training", "val": "validate", "test": "test"}
    every = [(*row[:4], names[row[4]]) for split in SPLITS for row in rows(split)]
    together = listed(kinetics, raw, "--csv", write(tmp_path / "all.csv", every)).table
    assert together.equals(first)
    assert len(first) == 3 * sum(SPLITS.values())
    write(tmp_path / "all.csv", [*every, ("archery", "x", "1", "2", "holdout")])
    assert "all.csv, line 59: 'holdout' is none of train, val, test" in refused(
        kinetics, raw, "--csv", tmp_path / "all.csv"
    )


@pytest.mark.parametrize("how", ["no column", "empty column", "no list"])
def test_without_labels_of_test_the_official_val_is_test(
    tmp_path: Path, touch: Any_, listed: Any_, by_split: Any_, how: str
) -> None:
    raw = touch(tmp_path, [LAYOUTS["spaces"](row) for split in SPLITS for row in rows(split)])
    write_all(raw)
    if how == "no list":
        (raw / "test.csv").unlink()
    elif how == "no column":
        write(raw / "test.csv", [row[1:] for row in rows("test")], HEADER[1:])
    else:
        write(raw / "test.csv", [("", *row[1:]) for row in rows("test")])
    listing = listed(kinetics, raw, "--val-share", "0.2")
    ids = by_split(listing, "group")
    assert ids["test"] == [row[1] for row in rows("val")]
    assert sorted(ids["train"] + ids["val"]) == sorted(row[1] for row in rows("train"))
    labels = by_split(listing, "label")
    assert sorted(labels["val"]) == [label for label in CLASSES for _ in range(2)]
    assert "the official val is test" in listing.notes
    assert any("15 videos of the official test have no labels" in note for note in listing.notes) == (how != "no list")
    assert by_split(listed(kinetics, raw, "--val-share", "0.2", "--seed", "1"), "group")["val"] != ids["val"]


def test_clips_of_one_video_are_drawn_together(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    twice = [(CLASSES[n % 2], f"same_{n // 2:06d}", str(n), str(n + 10), "train") for n in range(40)]
    write(tmp_path / "train.csv", twice)
    tested = rows("val")[:8]
    write(tmp_path / "val.csv", tested)
    raw = touch(tmp_path, [LAYOUTS["flat"](row) for row in [*twice, *tested]])
    table = listed(kinetics, raw, "--val-share", "0.3").table
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert (table["split"] == "val").sum() == 12


def test_missing_videos_are_listed_and_do_not_move_others(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    raw = touch(tmp_path, [LAYOUTS["spaces"](row) for split in ("train", "val") for row in rows(split)])
    write(raw / "train.csv", rows("train"))
    write(raw / "val.csv", rows("val"))
    whole = listed(kinetics, raw).table
    gone = rows("train")[3]
    (raw / LAYOUTS["spaces"](gone)).unlink()
    listing = listed(kinetics, raw)
    assert [absent[1:] for absent in listing.absent] == [(named(gone), "missing")]
    assert listing.table.equals(whole[whole["group"] != gone[1]].reset_index(drop=True))


def test_ids_that_differ_in_case_are_two_videos(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    lines = [("archery", "abcdefghijK", "0", "10", "train"), ("archery", "abcdefghijk", "0", "10", "train")]
    write(tmp_path / "train.csv", [*rows("train"), *lines])
    write(tmp_path / "val.csv", rows("val"))
    write(tmp_path / "test.csv", rows("test"))
    raw = touch(tmp_path, [LAYOUTS["flat"](row) for row in [*rows("train"), *rows("val"), *rows("test"), lines[0]]])
    listing = listed(kinetics, raw)
    assert listing.absent == [("train", "abcdefghijk_000000_000010", "missing")]


def test_the_file_that_fits_best_is_taken(tmp_path: Path, touch: Any_, listed: Any_, unused: Any_) -> None:
    write_all(tmp_path)
    raw = touch(tmp_path, [LAYOUTS["spaces"](row) for split in SPLITS for row in rows(split)])
    row = rows("train")[0]
    touch(raw, [f"replacement/{named(row)}.mp4", f"train/a class of no list/{named(row)}.mp4"])
    touch(raw, [f"train/massaging person's head/{named(row)}.mp4", f"val/archery/{named(row)}.mp4"])
    listing = listed(kinetics, raw)
    # Without another class's folder and without another split's, the first by name.
    assert listing.table["path"][0] == f"replacement/{named(row)}.mp4"
    assert any("1 videos are on the disk more than once" in note for note in listing.notes)
    left = unused(raw, listing)
    assert list(left.values()).count("a video that no list names") == 4
    assert left["train.csv"] == "a file that no list names"
    for extra in (f"replacement/{named(row)}.mp4", f"train/a class of no list/{named(row)}.mp4"):
        (raw / extra).unlink()
    assert listed(kinetics, raw).table["path"][0] == f"train/archery/{named(row)}.mp4"
    for extra in (f"train/archery/{named(row)}.mp4", f"val/archery/{named(row)}.mp4"):
        (raw / extra).unlink()
    listing = listed(kinetics, raw)
    assert listing.table["path"][0] == f"train/massaging person's head/{named(row)}.mp4"
    assert listing.table["label"][0] == "archery"
    assert "1 videos lie in the folder of another class than their list says; the list is followed" in listing.notes


def test_one_file_is_one_row_and_what_is_tested_on_keeps_it(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    write_all(tmp_path)
    raw = touch(tmp_path, [LAYOUTS["id alone"](row) for split in SPLITS for row in rows(split)])
    tested = rows("test")[0]
    write(raw / "train.csv", [("archery", tested[1], "50", "60", "train"), *rows("train")])
    listing = listed(kinetics, raw)
    assert len(listing.table) == 3 * sum(SPLITS.values())
    ((split, path, reason),) = listing.absent
    assert (split, path) == ("train", f"{tested[1]}_000050_000060")
    assert "is the video of another line already" in reason
    assert reason.endswith("test.csv, line 2")


def test_many_rows_are_fast(tmp_path: Path, touch: Any_, listed: Any_, monkeypatch: pytest.MonkeyPatch) -> None:
    """No question to the disk for each row: the number of such calls does not grow with the list."""
    raw = touch(tmp_path, [LAYOUTS["spaces"](row) for split in SPLITS for row in rows(split)])
    for split in SPLITS:
        more = [("archery", f"gone{n:07d}", "0", "10", split) for n in range(2000)]
        write(raw / f"{split}.csv", rows(split) + more)
    calls = 0
    stat = Path.stat

    def count(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return stat(*arguments, **options)

    monkeypatch.setattr(Path, "stat", count)
    listing = kinetics.list_videos(options(raw))
    assert len(listing.absent) == 6000
    assert calls < 100


def options(raw: Path) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    kinetics.add_arguments(parser)
    parsed = parser.parse_args([])
    parsed.raw = raw
    return parsed


def test_wrong_lists(tmp_path: Path, touch: Any_, refused: Any_) -> None:
    raw = touch(tmp_path / "raw", [LAYOUTS["flat"](row) for split in SPLITS for row in rows(split)])
    assert "there is no list of train" in refused(kinetics, raw)
    write_all(raw)
    good = rows("train")
    cases: list[tuple[Sequence[Sequence[str]], Sequence[str], str]] = [
        ([row[:1] for row in good], ["label"], "no list of train"),
        ([row[1:] for row in good], HEADER[1:], "train.csv, line 2: no label; train needs a column 'label'"),
        ([row[:3] for row in good], HEADER[:3], "only one of the columns 'time_start' and 'time_end'"),
        ([*good, ("archery", "", "1", "2", "train")], HEADER, "train.csv, line 32: no youtube_id"),
        ([*good, ("", "x", "1", "2", "train")], HEADER, "train.csv, line 32: no label"),
        ([*good, ("archery", "x", "soon", "2", "train")], HEADER, "line 32: 'soon' is not a time in seconds"),
        ([*good, ("archery", "x", "inf", "2", "train")], HEADER, "line 32: 'inf' is not a time in seconds"),
        ([*good, ("Archery", "x", "1", "2", "train")], HEADER, "differ in spelling only"),
        ([(*row, "a") for row in good], (*HEADER, "video_id"), "two columns for one thing"),
        ([], HEADER, "train.csv lists nothing"),
    ]
    for lines, header, message in cases:
        write(raw / "train.csv", lines, header)
        assert message in refused(kinetics, raw)
    write(raw / "train.csv", good)
    write(raw / "val.csv", [*rows("val"), ("sleeping", "x", "1", "2", "val")])
    assert "val.csv, line 14: 'sleeping' is not a class of" in refused(kinetics, raw)
    write(raw / "val.csv", rows("val"))
    write(raw / "more" / "kinetics_val.csv", rows("val"))
    assert "are both lists of val; choose with --val" in refused(kinetics, raw)
    (raw / "train.csv").write_bytes(b"label,youtube_id\ncaf\xe9,x\n")
    message = refused(kinetics, raw, "--train", "train.csv", "--val", "val.csv")
    assert "is not UTF-8 text" in message
    assert "no.csv is missing" in refused(kinetics, raw, "--train", "no.csv", "--val", "val.csv")


def test_wrong_folders(tmp_path: Path, refused: Any_) -> None:
    assert "no is not a folder; set --raw" in refused(kinetics, tmp_path / "no")
    write_all(tmp_path)
    assert "is not a folder; set --videos" in refused(kinetics, tmp_path, "--videos", "no")
    assert "holds none of the 30 videos of train" in refused(kinetics, tmp_path)
