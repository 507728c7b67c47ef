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
    touch(raw, ["a/notes.txt", "a/._00.MP4", ".hidden/0.mp4", "stray.mp4"])
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
    assert {split: len(names) for split, names in groups.items()} == {"train": 4, "val": 2, "test": 2}
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
    empty, one = (make_folder(tmp_path / name, {}) for name in ("empty", "one"))
    for file in (empty / "a.txt", one / "a.mp4"):
        file.parent.mkdir()
        file.touch()
    good: list[tuple[str, ...]] = [(f"{index}.mp4", "a", str(index % 2)) for index in range(9)]
    same = make_csv(tmp_path / "same.csv", [*good, ("./0.mp4", "a", "1")])
    hole = make_csv(tmp_path / "hole.csv", [*good, ("", "a", "1")])
    nul = make_csv(tmp_path / "nul.csv", [*good, ("a\0.mp4", "a", "1")])
    away = make_csv(tmp_path / "away.csv", [*good, ("../x.mp4", "a", "1")])
    lines = make_csv(tmp_path / "good.csv", good)
    none = make_csv(tmp_path / "none.csv", [])
    cases: list[tuple[Path, list[object], str]] = [
        (tmp_path / "no", [], "no is not a folder; set --raw"),
        (empty, [], "holds no video and no folder of frames; 'a.txt' is not a video; set --raw or --csv"),
        (one, [], "1 video cannot be dealt to train, val and test, which need one each; add some"),
        (raw, ["--val", "0.5", "--test", "0.5"], "must be above 0 and leave something for train"),
        (raw, ["--group-column", "subject"], "--group-column needs --csv, whose column it is"),
        (raw, ["--csv", same], "line 11: 0.mp4 is listed before, in line 2; keep one"),
        (raw, ["--csv", hole], "line 11: nothing in column 'path'"),
        (raw, ["--csv", nul], "line 11: 'a\\x00.mp4' is not a path, as no name of a file holds such characters"),
        (raw, ["--csv", away], f"line 11: ../x.mp4 is not inside {raw}"),
        (raw, ["--csv", lines, "--label-column", "word"], "has no column 'word', only path, label, subject"),
        (raw, ["--csv", lines, "--group-column", "subject"], "2 groups cannot be dealt"),
        (raw, ["--csv", lines], f"holds none of the 7 videos of train: {raw}/"),
        (raw, ["--csv", lines, "--unlabelled"], "--unlabelled and --csv disagree"),
        (raw, ["--csv", none], "none.csv lists nothing"),
        (raw, ["--csv", tmp_path / "missing.csv"], "missing.csv is missing"),
    ]
    for root, arguments, message in cases:
        assert message in refused(folder, root, *arguments)
    Path(os.fsdecode(os.fsencode(raw / "a") + b"/\xff.mp4")).touch()
    assert "a file name must be UTF-8; rename it" in refused(folder, raw)


# ------------------------------------------------------------------------------------ what is a video, and of what


def test_folders_in_the_folder_of_a_class(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    who = ["anna", "ben", "cy", "dora", "emil", "fred"]
    raw = touch(tmp_path, [f"{label}/{name}/{n}.mp4" for label in ("run", "walk") for name in who for n in range(3)])
    listing = listed(folder, raw)
    assert listing.table["label"].value_counts().to_dict() == {"run": 18, "walk": 18}
    assert list(listing.table.columns) == ["split", "path", "label"]
    assert any("36 videos lie in folders inside their class's folder; --group-by-folder" in n for n in listing.notes)
    table = listed(folder, raw, "--group-by-folder").table
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert set(table["group"]) == set(who)


def test_what_ffmpeg_opens_is_a_video_whatever_its_name(tmp_path: Path, listed: Any_, write_video: Any_) -> None:
    raw = tmp_path / "raw"
    for label in ("run", "walk"):
        for number, name in enumerate(("1.mp4", "CAM.MTS", "clip.vob", "no_extension", "x.xyz")):
            made = write_video(tmp_path / f"{number}.mp4", 4, container_options={})
            (raw / label).mkdir(parents=True, exist_ok=True)
            made.rename(raw / label / name)
    (raw / "run" / "notes.xyz").write_text("no video")
    (raw / "run" / "noise").write_bytes(bytes(range(256)) * 40)
    (raw / "run" / "empty").touch()
    listing = listed(folder, raw)
    assert len(listing.table) == 10
    assert dict(listing.unused) == {f"run/{name}": "not a video" for name in ("notes.xyz", "noise", "empty")}


def test_every_file_is_used_or_told(tmp_path: Path, listed: Any_) -> None:
    raw = make_folder(tmp_path / "raw", {"a": 5, "b": 5})
    extra = ["stray.mp4", ".DS_Store", "a/.hidden.mp4", ".git/config", "a/thumb1.jpg", "labels.csv", "b/deep/er/7.mp4"]
    for name in extra:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).touch()
    (raw / "again").symlink_to(raw / "a")
    os.mkfifo(raw / "b" / "pipe.mp4")
    listing = listed(folder, raw)
    told = dict(listing.unused)
    assert set(told) == {
        "stray.mp4",
        ".DS_Store",
        "a/.hidden.mp4",
        ".git/",
        "a/thumb1.jpg",
        "labels.csv",
        "again/",
        "b/pipe.mp4",
    }
    assert told["stray.mp4"].startswith("in no folder of a class")
    assert told["again/"] == "the same folder as a"
    assert told["b/pipe.mp4"] == "neither a file nor a folder"
    used = {*listing.table["path"], *(path for _, path, _ in listing.absent)}
    assert used == {*(f"{label}/{n:02d}.MP4" for label in "ab" for n in range(5)), "b/deep/er/7.mp4"}


def test_a_flat_folder_has_no_labels(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    raw = touch(tmp_path, [f"{number}.mp4" for number in range(20)])
    listing = listed(folder, raw)
    assert set(listing.table["label"]) == {""}
    assert listing.table["split"].value_counts().to_dict() == {"train": 14, "val": 3, "test": 3}
    assert listing.notes == [
        "the videos have no labels: training works, and scores need those of some videos of every split"
    ]
    nested = touch(tmp_path / "nested", [f"2024-0{n % 3 + 1}/{n}.mp4" for n in range(9)])
    assert set(listed(folder, nested).table["label"]) == {"2024-01", "2024-02", "2024-03"}
    assert set(listed(folder, nested, "--unlabelled").table["label"]) == {""}


@pytest.mark.parametrize("layout", ["{split}/{label}/{n}.mp4", "{label}/{split}/{n}.mp4", "{split}/{n}{label}.mp4"])
@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "TEST"), ("train", "", "test")])
def test_folders_of_splits(
    tmp_path: Path, listed: Any_, touch: Any_, by_split: Any_, layout: str, names: tuple[str, ...]
) -> None:
    counts = {"train": 12, "val": 3, "test": 4}
    paths = {
        split: [layout.format(split=name, label=label, n=n) for label in "pq" for n in range(counts[split]) if name]
        for split, name in zip(counts, names, strict=True)
    }
    raw = touch(tmp_path, [path for several in paths.values() for path in several])
    listing = listed(folder, raw)
    found = by_split(listing, "path")
    assert sorted(found["test"]) == sorted(paths["test"])
    if names[1]:
        assert {split: sorted(several) for split, several in found.items()} == {s: sorted(p) for s, p in paths.items()}
    else:
        assert sorted(found["train"] + found["val"]) == sorted(paths["train"])
        assert len(found["val"]) == 4
    assert set(listing.table["label"]) == ({"p", "q"} if "{label}/" in layout else {""})
    assert any("the folders say which split a video is in: 24 train" in note for note in listing.notes)


def test_classes_that_are_called_like_splits_are_classes(tmp_path: Path, listed: Any_) -> None:
    listing = listed(folder, make_folder(tmp_path / "raw", {"train": 10, "bus": 10, "car": 10}))
    assert set(listing.table["label"]) == {"train", "bus", "car"}


def test_folders_of_frames(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    folders = [f"{label}/v{number}" for label in ("run", "walk") for number in range(4)]
    pictures = [f"{place}/frame{number}.png" for place in folders for number in range(1, 12)]
    raw = touch(tmp_path, [*pictures, "run/v0/info.txt", "run/v1/flow/flow_x_1.jpg", "run/v1/flow/flow_x_2.jpg"])
    write_numbered = raw / "walk" / "9.mp4"
    write_numbered.touch()
    listing = listed(folder, raw, "--fps", "12")
    assert sorted(listing.table["path"]) == sorted([*folders, "walk/9.mp4"])
    assert listing.folders == frozenset(folders)
    assert [path for path, _ in listing.unused] == [
        "run/v0/info.txt",
        "run/v1/flow/flow_x_1.jpg",
        "run/v1/flow/flow_x_2.jpg",
    ]
    assert any("8 folders of numbered pictures count as one video each" in note for note in listing.notes)
    with pytest.raises(SystemExit):
        listed(folder, raw, "--fps", "0")


def test_a_class_of_few_videos_does_not_stop_the_others(tmp_path: Path, listed: Any_) -> None:
    listing = listed(folder, make_folder(tmp_path / "raw", {"a": 20, "one": 1, "two": 2}))
    counts = {split: rows["label"].value_counts().to_dict() for split, rows in listing.table.groupby("split")}
    assert counts["train"]["a"] == 14
    assert counts["train"]["one"] == 1
    assert counts["train"]["two"] == 1
    assert any("no val video" in note for note in listing.notes)


@pytest.mark.parametrize("classes", [{"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2}, {"a": 3}, {"a": 1, "b": 2}])
def test_every_split_gets_a_video(tmp_path: Path, listed: Any_, classes: dict[str, int]) -> None:
    table = listed(folder, make_folder(tmp_path / "raw", classes)).table
    assert set(table["split"]) == {"train", "val", "test"}


# ------------------------------------------------------------------------------------------------------------ CSV


@pytest.mark.parametrize(
    "header", ["path, label, subject", "path,label,subject", '"path", "label", "subject"', "path;label;subject"]
)
def test_blanks_and_other_separators(tmp_path: Path, listed: Any_, touch: Any_, header: str) -> None:
    rows = [
        (f"{n}.mp4", ["walk", " walk", '"walk"', "walk "][n % 4] if n % 2 else "run, fast", f" s{n % 9}")
        for n in range(36)
    ]
    touch(tmp_path, [path for path, *_ in rows])
    mark = ";" if ";" in header else ","
    lines = [mark.join([path, f' "{label}"' if "," in label else f" {label}", who]) for path, label, who in rows]
    (tmp_path / "l.csv").write_text("\n".join([header, *lines]) + "\n")
    table = listed(folder, tmp_path, "--csv", "l.csv", "--group-column", "subject").table
    assert set(table["label"]) == {"walk", "run, fast"}
    assert set(table["group"]) == {f"s{n}" for n in range(9)}
    assert (table.groupby("group")["split"].nunique() == 1).all()


def test_classes_that_look_alike_are_told(tmp_path: Path, listed: Any_) -> None:
    listing = listed(folder, make_folder(tmp_path / "raw", {"open door": 5, "Open_Door": 5, "x": 5}))
    assert "'Open_Door' and 'open door' count as 2 classes, though they differ in spelling only; write them alike" in (
        listing.notes
    )


def test_windows_paths_and_empty_labels_in_a_csv(tmp_path: Path, listed: Any_, touch: Any_) -> None:
    raw = touch(tmp_path, [f"walk/{n}.mp4" for n in range(10)])
    csv = make_csv(tmp_path / "l.csv", [(f"walk\\{n}.mp4", "walk" if n < 6 else " ") for n in range(10)], "path,label")
    listing = listed(folder, raw, "--csv", csv)
    assert sorted(listing.table["path"]) == [f"walk/{n}.mp4" for n in range(10)]
    assert listing.table["label"].value_counts().to_dict() == {"walk": 6, "": 4}


def test_a_csv_without_labels(tmp_path: Path, listed: Any_, refused: Any_, touch: Any_) -> None:
    raw = touch(tmp_path, [f"{n}.mp4" for n in range(10)])
    csv = make_csv(tmp_path / "l.csv", [(f"{n}.mp4",) for n in range(10)], "path")
    assert set(listed(folder, raw, "--csv", csv).table["label"]) == {""}
    message = refused(folder, raw, "--csv", csv, "--label-column", "label")
    assert "has no column 'label', only path" in message


def test_a_separator_of_parts_in_a_class_name_is_told(tmp_path: Path, listed: Any_) -> None:
    listing = listed(folder, make_folder(tmp_path / "raw", {"a|b": 5, "c": 5}))
    assert any("there are 1 to 2 a video; training wants as many" in note for note in listing.notes)
