from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_utils.prepare import lists

Any_ = Callable[..., Any]
PATHS = [f"{folder}/{number}.mp4" for folder in ("a", "b") for number in range(10)]
LABELS = ["0"] * 10 + ["1"] * 10


@pytest.fixture
def raw(tmp_path: Path, touch: Any_) -> Path:
    raw: Path = touch(tmp_path / "raw", PATHS)
    return raw


def text(file: Path, paths: list[str] = PATHS, labels: list[str] = LABELS, separator: str = " ") -> Path:
    file.write_text("".join(f"{path}{separator}{label}\n" for path, label in zip(paths, labels, strict=True)))
    return file


# --------------------------------------------------------------------------------------------------- text files


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\t", "   "])
def test_separators(raw: Path, tmp_path: Path, listed: Any_, separator: str) -> None:
    listing = listed(lists, raw, "--train", text(tmp_path / "l.txt", separator=separator))
    assert (listing.name, listing.flip, listing.absent) == ("lists", 0.5, [])
    assert dict(listing.table[["path", "label"]].values) == dict(zip(PATHS, LABELS, strict=True))
    assert list(listing.table.columns) == ["split", "path", "label"]


ODD = ["a b/c, d.mp4", "x y.mp4 z/1 2.webm", 'say "cheese".avi', "héé/né.mkv", "(1); #2 & !'.mov", "tab\tin.mp4"]


@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_paths_hold_what_separates(tmp_path: Path, touch: Any_, listed: Any_, separator: str) -> None:
    raw = touch(tmp_path / "raw", ODD)
    file = text(tmp_path / "l.txt", ODD, ["5"] * len(ODD), separator)
    assert sorted(listed(lists, raw, "--train", file).table["path"]) == sorted(ODD)


def test_labels_hold_spaces_where_commas_separate(raw: Path, tmp_path: Path, listed: Any_) -> None:
    labels = ["apply eye makeup"] * 10 + ["archery"] * 10
    for separator in (",", "\t"):
        listing = listed(lists, raw, "--train", text(tmp_path / "l.csv", labels=labels, separator=separator))
        assert set(listing.table["label"]) == {"apply eye makeup", "archery"}


def test_folders_of_frames(tmp_path: Path, touch: Any_, listed: Any_, refused: Any_) -> None:
    folders = [f"frames/video {number}" for number in range(9)]
    raw = touch(tmp_path / "raw", [f"{folder}/{n:03d}.jpg" for folder in folders for n in range(int(folder[-1]) + 2)])
    file = text(tmp_path / "l.txt", folders, [f"{2 + n} 7" for n in range(9)])
    listing = listed(lists, raw, "--train", file, "--fields", "3")
    assert sorted(listing.table["path"]) == folders
    assert set(listing.table["label"]) == {"7"}
    assert listing.folders == frozenset(folders)
    assert listed(lists, raw, "--train", file).table.equals(listing.table)  # the disk says how lines are to be read
    text(file, folders, [f"  {2 + n}   7" for n in range(9)])
    assert listed(lists, raw, "--train", file, "--fields", "3").table.equals(listing.table)
    text(file, folders, [f"{2 + n if n else 3} 7" for n in range(9)])
    absent = listed(lists, raw, "--train", file, "--fields", "3").absent
    assert [row[1:] for row in absent] == [(folders[0], "2 of 3 listed frames are there")]
    text(file, folders, ["many 7"] * 9)
    message = refused(lists, raw, "--train", file, "--fields", "3")
    assert "l.txt, line 1: 'frames/video 0 many 7' is not of the form `path frames label`" in message


def test_chosen_separator_headers_quotes_blank_lines_and_line_ends(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    raw = touch(tmp_path / "raw", ["clip 1", "clip 2", "clip,3", 'a "b"'])
    file = tmp_path / "l.txt"
    file.write_bytes('\ufeffpath,label\r\nclip 1,run\r\n\r\nclip 2,run\r\n"clip,3",run\r\n"a ""b""",run\r\n'.encode())
    listing = listed(lists, raw, "--train", file, "--separator", "comma")
    assert sorted(listing.table["path"]) == sorted(["clip 1", "clip 2", "clip,3", 'a "b"'])
    assert set(listing.table["label"]) == {"run"}


def test_given_and_drawn_splits(raw: Path, tmp_path: Path, listed: Any_, by_split: Any_) -> None:
    half = [*PATHS[:5], *PATHS[10:15]], [*LABELS[:5], *LABELS[10:15]]
    rest = [*PATHS[5:8], *PATHS[15:18]], [*LABELS[5:8], *LABELS[15:18]]
    last = [*PATHS[8:10], *PATHS[18:20]], [*LABELS[8:10], *LABELS[18:20]]
    files = [text(tmp_path / f"{n}.txt", *part) for n, part in enumerate((half, rest, last))]
    listing = listed(lists, raw, "--train", files[0], "--val", files[1], "--test", files[2])
    assert list(by_split(listing, "path").values()) == [half[0], rest[0], last[0]]
    assert listing.notes == []
    listing = listed(lists, raw, "--train", files[0], "--test", files[2], "--val-share", "0.4")
    paths = by_split(listing, "path")
    assert paths["test"] == last[0]
    assert sorted(paths["train"] + paths["val"]) == half[0]
    assert by_split(listing, "label")["val"] == ["0", "0", "1", "1"]
    assert listing.notes == ["val (0.4) drawn from the list of train with seed 0"]
    listing = listed(lists, raw, "--train", files[0], "--val-share", "0.2", "--test-share", "0.2", "--flip", "0")
    assert [len(part) for part in by_split(listing, "path").values()] == [6, 2, 2]
    assert listing.flip == 0
    other = listed(lists, raw, "--train", files[0], "--val-share", "0.2", "--test-share", "0.2", "--seed", "1")
    assert not other.table.equals(listing.table)


def test_absolute_paths_become_relative(raw: Path, tmp_path: Path, listed: Any_, refused: Any_) -> None:
    file = text(raw / "l.txt", [f"{raw}//./{path}" for path in PATHS])
    assert sorted(listed(lists, raw, "--train", "l.txt").table["path"]) == PATHS
    link = tmp_path / "link"
    link.symlink_to(raw)
    assert sorted(listed(lists, link, "--train", file).table["path"]) == PATHS
    for path in (str(tmp_path / "other" / "x.mp4"), "../x.mp4", "a/../../x.mp4", ".", f"{raw}/../x.mp4"):
        text(file, [*PATHS, path], [*LABELS, "0"])
        message = refused(lists, raw, "--train", file, "--separator", "space")
        assert message.startswith(f"{file}, line 21: {path} is not inside {raw}")


def test_missing_videos_are_told(raw: Path, tmp_path: Path, listed: Any_) -> None:
    paths = [*PATHS, "a/gone.mp4", "nowhere/x.mp4", "a/0.mp4/x.mp4"]
    listing = listed(lists, raw, "--train", text(tmp_path / "l.txt", paths, [*LABELS, "0", "0", "0"]))
    assert sorted(absent[1:] for absent in listing.absent) == sorted((path, "missing") for path in paths[20:])
    assert sorted(listing.table["path"]) == PATHS


def test_wrong_text(raw: Path, tmp_path: Path, refused: Any_) -> None:
    file = tmp_path / "l.txt"
    for content, message in {
        "": "l.txt is empty",
        "path,label\n": "l.txt lists no videos",
        "a/0.mp4\na/1.mp4 0\n": "l.txt, line 1: 'a/0.mp4' is not of the form `path label`",
        "a/0.mp4 0\na/1.mp4\n": "l.txt, line 2: 'a/1.mp4' is not of the form `path label`",
        "a/0.mp4 0\na/1.mp4 1\na/2.mp4,0\n": "l.txt, line 3: 'a/2.mp4,0' is not of the form `path label`",
        "x/0.mp4 0\nx/1.mp4,0\n": "l.txt: lines differ in what stands between path and label",
        "a/0.mp4 0\na/1.mp4 0\na//0.mp4 1\n": "l.txt, line 3: a/0.mp4 is in " + f"{file}, line 1 already",
        "a/0\0.mp4 0\n": "l.txt, line 1: 'a/0\\x00.mp4' is not a path, as no name of a file holds such characters",
    }.items():
        file.write_text(content)
        assert message in refused(lists, raw, "--train", file)
    file.write_text("a/0.mp4 0\n")
    assert "line 1: 'a/0.mp4 0' is not of the form `path label`" in refused(
        lists, raw, "--train", file, "--separator", "tab"
    )
    assert "l.txt, line 1" in refused(lists, raw, "--train", file, "--fields", "3")
    file.write_bytes(b"caf\xe9.mp4 1\n")
    assert "l.txt is not UTF-8 text" in refused(lists, raw, "--train", file)
    assert "no.txt is missing" in refused(lists, raw, "--train", "no.txt")
    assert "cannot be read" in refused(lists, raw, "--train", tmp_path)
    assert "is not a folder; set --raw" in refused(lists, tmp_path / "no", "--train", file)
    one, two = text(tmp_path / "1.txt"), text(tmp_path / "2.txt", PATHS[3:4], ["0"])
    assert f"{two}, line 1: a/3.mp4 is in {one}, line 4 already" in refused(lists, raw, "--train", one, "--test", two)
    assert "--val-share and --test-share must be above 0" in refused(lists, raw, "--train", one, "--val-share", "0")


# ------------------------------------------------------------------------------------------------------ classes


@pytest.mark.parametrize("content", ["Apply Eye Makeup\nArchery\n", "1 Archery\n0 Apply Eye Makeup\n"])
def test_names_of_the_classes(raw: Path, tmp_path: Path, listed: Any_, content: str) -> None:
    (tmp_path / "classes.txt").write_text(content)
    file = text(tmp_path / "l.txt")
    table = listed(lists, raw, "--train", file, "--classes", tmp_path / "classes.txt").table.set_index("path")
    assert table["label"]["a/3.mp4"] == "Apply Eye Makeup"
    assert table["label"]["b/3.mp4"] == "Archery"
    text(file, labels=["ApplyEyeMakeup"] * 10 + ["ARCHERY"] * 10)
    again = listed(lists, raw, "--train", file, "--classes", tmp_path / "classes.txt").table.set_index("path")
    assert again["label"].equals(table["label"])


def test_wrong_classes(raw: Path, tmp_path: Path, refused: Any_) -> None:
    classes, file = tmp_path / "classes.txt", text(tmp_path / "l.txt", labels=["0"] * 19 + ["2"])
    for content, message in {
        "run\njump\n": "l.txt, line 20: label 2 is not a class of " + f"{classes}, which has 0 to 1",
        "run\nRun\njump\n": "differ in spelling only",
        "run\nrun\njump\n": "names the class run 2 times",
        "0 run\n0 jump\n2 hop\n": "names the number 0 2 times",
        "": "classes.txt is empty",
    }.items():
        classes.write_text(content)
        assert message in refused(lists, raw, "--train", file, "--classes", classes)
    classes.write_text("run\njump\n")
    text(file, labels=["run"] * 19 + ["jmup"])
    message = refused(lists, raw, "--train", file, "--classes", classes)
    assert "l.txt, line 20: 'jmup' is not a class of" in message
    assert "did you mean 'jump'?" in message
    assert "no.txt is missing" in refused(lists, raw, "--train", file, "--classes", "no.txt")


# --------------------------------------------------------------------------------------------------- .npy files


ARRAYS = {
    "unicode": (np.array(PATHS), np.array([int(label) for label in LABELS])),
    "big endian": (np.array(PATHS).astype(">U20"), np.array(LABELS, ">i2")),
    "bytes": (np.array(PATHS, "S"), np.array(LABELS, np.uint8)),
    "objects": (np.array(PATHS, object), np.array([int(label) for label in LABELS], object)),
    "objects of text": (np.array(PATHS, object), np.array(LABELS, object)),
    "numpy's objects": (
        np.array([np.str_(path) for path in PATHS], object),
        np.array([np.int64(label) for label in LABELS], object),
    ),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_pairs_of_arrays(raw: Path, tmp_path: Path, listed: Any_, kind: str) -> None:
    files = tmp_path / "my paths.npy", tmp_path / "labels.npy"
    for file, array in zip(files, ARRAYS[kind], strict=True):
        np.save(file, array, allow_pickle=True)
    table = listed(lists, raw, "--train", ",".join(map(str, files))).table
    assert dict(table[["path", "label"]].values) == dict(zip(PATHS, LABELS, strict=True))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_pickles_of_other_versions(raw: Path, tmp_path: Path, listed: Any_, protocol: int, module: str) -> None:
    for name, values in (("p", PATHS), ("l", [np.int32(label) for label in LABELS])):
        plain = pickle.dumps(np.array(values, object), protocol=min(protocol, 3))
        # Short strings of old protocols carry no length, so that one name can stand for the other.
        plain = plain.replace(b"cnumpy._core.multiarray\n", f"c{module}\n".encode())
        write_pickle(tmp_path / f"{name}.npy", plain, len(values))
    table = listed(lists, raw, "--train", f"{tmp_path / 'p.npy'},{tmp_path / 'l.npy'}").table
    assert sorted(table["path"]) == PATHS


def write_pickle(file: Path, content: bytes, count: int) -> Path:
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (count,)})
        stream.write(content)
    return file


class Foreign:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_foreign_pickle_is_never_run(raw: Path, tmp_path: Path, refused: Any_) -> None:
    trap, labels = tmp_path / "trap", tmp_path / "l.npy"
    np.save(labels, np.array(LABELS))
    bad = np.array(PATHS, object)
    bad[3] = Foreign(trap)
    np.save(tmp_path / "p.npy", bad, allow_pickle=True)
    assert "p.npy: it asks for posix.mkdir" in refused(lists, raw, "--train", f"{tmp_path / 'p.npy'},{labels}")
    for attack in (pickle.dumps(Foreign(trap)), b"cnumpy._core.multiarray\nfromfile\n.", b"cbuiltins\neval\n(S'1'\ntR.",
                   b"cnumpy\nload\n.", b"cnumpy.core.multiarray\n_reconstruct.__globals__\n."):  # fmt: skip
        write_pickle(tmp_path / "p.npy", attack, 20)
        assert "it asks for" in refused(lists, raw, "--train", f"{tmp_path / 'p.npy'},{labels}")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Foreign(trap)))  # the trap does work
    assert trap.exists()


def test_wrong_arrays(raw: Path, tmp_path: Path, refused: Any_) -> None:
    paths, labels = tmp_path / "p.npy", tmp_path / "l.npy"
    pair = f"{paths},{labels}"
    np.save(paths, np.array(PATHS))
    cases: list[tuple[Any, str]] = [
        (np.array([0.5] * 20), "l.npy: an array of float64"),
        (np.array([True] * 20), "l.npy: an array of bool"),
        (np.zeros((20, 1), int), "l.npy: an array of 2 dimensions"),
        (np.array(3), "l.npy: an array of 0 dimensions"),
        (np.array([0.5] * 20, object), "l.npy: 0.5 is neither text nor a whole number"),
        (np.array([None] * 20, object), "l.npy: None is neither text"),
        (np.array([True] * 20, object), "l.npy: True is neither text"),
        (np.array([b"\xff"] * 20, object), "is not UTF-8"),
        (np.array([np.float32(1)] * 20, object), "an entry that is neither text nor a whole number"),
        (np.array(LABELS[:7]), "has 20 paths, " + f"{labels} 7 labels"),
    ]
    for array, message in cases:
        np.save(labels, array, allow_pickle=True)
        assert message in refused(lists, raw, "--train", pair)
    np.save(labels, np.array(LABELS))
    for content in (b"", b"no array", labels.read_bytes()[:-9], labels.read_bytes()[:30]):
        labels.write_bytes(content)
        assert "l.npy is not a complete .npy file" in refused(lists, raw, "--train", pair)
    write_pickle(labels, pickle.dumps(["0"] * 20), 20)
    assert "l.npy: no array of objects" in refused(lists, raw, "--train", pair)
    write_pickle(labels, pickle.dumps(np.array(LABELS, object))[:40], 20)
    assert "l.npy is not a complete .npy file" in refused(lists, raw, "--train", pair)
    np.save(labels, np.array(LABELS))
    np.save(paths, np.array([*PATHS[:-1], PATHS[0]]))
    assert f"{paths}, entry 19: a/0.mp4 is in {paths}, entry 0 already" in refused(lists, raw, "--train", pair)
    np.save(paths, np.array([*PATHS[:-1], "../x.mp4"]))
    assert f"{paths}, entry 19: ../x.mp4 is not inside" in refused(lists, raw, "--train", pair)
    for file in (paths, labels):
        np.save(file, np.array([], "U1"))
    assert "p.npy lists no videos" in refused(lists, raw, "--train", pair)
    assert "p.npy is one .npy file; give two" in refused(lists, raw, "--train", paths)
    assert "no.npy is missing" in refused(lists, raw, "--train", f"{tmp_path / 'no.npy'},{labels}")


# ----------------------------------------------------------------------------------------------- forms of the lines

FORMS_OF_LINES = {
    "path label": "{} {}",
    "semicolons": "{};{}",
    "VideoMAEv2": "{} 0 20 {}",
    "VideoMAEv2, whole": "{},0,-1,{}",
    "quoted": '"{}","{}"',
}


@pytest.mark.parametrize("form", FORMS_OF_LINES)
def test_the_disk_says_how_lines_are_read(raw: Path, tmp_path: Path, listed: Any_, form: str) -> None:
    lines = [FORMS_OF_LINES[form].format(*row) for row in zip(PATHS, LABELS, strict=True)]
    (tmp_path / "l.txt").write_text("\n".join(lines))
    table = listed(lists, raw, "--train", tmp_path / "l.txt").table
    assert dict(table[["path", "label"]].values) == dict(zip(PATHS, LABELS, strict=True))


def test_labels_of_several_words_behind_blanks(raw: Path, tmp_path: Path, listed: Any_) -> None:
    file = text(tmp_path / "l.txt", labels=["apply eye makeup"] * 10 + ["archery"] * 10)
    assert set(listed(lists, raw, "--train", file).table["label"]) == {"apply eye makeup", "archery"}


@pytest.mark.parametrize("line", ["{}", "{} 0 -1"])
def test_lists_without_labels(raw: Path, tmp_path: Path, listed: Any_, line: str) -> None:
    (tmp_path / "l.txt").write_text("".join(line.format(path) + "\n" for path in PATHS))
    table = listed(lists, raw, "--train", tmp_path / "l.txt").table
    assert sorted(table["path"]) == PATHS
    assert set(table["label"]) == {""}
    assert set(table["split"]) == {"train", "val", "test"}


def test_some_labels_may_be_empty(raw: Path, tmp_path: Path, listed: Any_) -> None:
    listing = listed(lists, raw, "--train", text(tmp_path / "l.csv", labels=["run"] * 17 + [""] * 3, separator=","))
    assert listing.table["label"].value_counts().to_dict() == {"run": 17, "": 3}
    assert "3 of 20 videos have no label: they train and are not scored" in listing.notes


def test_several_labels_of_a_video_are_told_with_the_line(raw: Path, tmp_path: Path, refused: Any_) -> None:
    for labels in ("3 17", "3 17 40"):
        message = refused(lists, raw, "--train", text(tmp_path / "l.txt", labels=[labels] * 20))
        assert f"l.txt, line 1: 'a/0.mp4 {labels}' has {len(labels.split())} numbers behind its path" in message
        assert "several labels of one video are not read" in message


def test_parts_of_videos_are_told_with_the_line(raw: Path, tmp_path: Path, refused: Any_) -> None:
    file = text(tmp_path / "l.txt", labels=["0 20 1"] * 19 + ["40 20 1"])
    assert "l.txt, line 20: begins at frame 40" in refused(lists, raw, "--train", file, "--fields", "4")


@pytest.mark.parametrize("path", ["{0}\\{1}", " {0}/{1} ", ".\\{0}\\{1}"])
def test_paths_as_other_systems_write_them(raw: Path, tmp_path: Path, listed: Any_, path: str) -> None:
    paths = [path.format(*name.split("/")) for name in PATHS]
    table = listed(lists, raw, "--train", text(tmp_path / "l.csv", paths, separator=";")).table
    assert sorted(table["path"]) == PATHS


def test_a_name_with_a_backslash_is_kept_where_the_disk_holds_it(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    names = [f"a\\{number}.mp4" for number in range(5)]
    raw = touch(tmp_path / "raw", [*names, *(name.replace("\\", "/") for name in names)])
    table = listed(lists, raw, "--train", text(tmp_path / "l.txt", names, ["x"] * 5)).table
    assert sorted(table["path"]) == names


def test_what_is_missing_does_not_stop_what_is_there(tmp_path: Path, touch: Any_, listed: Any_, refused: Any_) -> None:
    raw = touch(tmp_path / "raw", ["1.mp4", "2.mp4"])
    for labels in (["a", "a", "a"], ["a", "b", "c"]):
        listing = listed(lists, raw, "--train", text(tmp_path / "l.txt", ["0.mp4", "1.mp4", "2.mp4"], labels))
        assert sorted(listing.table["path"]) == ["1.mp4", "2.mp4"]
        assert "train" in set(listing.table["split"])
        assert [row[1:] for row in listing.absent] == [("0.mp4", "missing")]
    whole = text(tmp_path / "l.txt", ["x/0.mp4", "x/1.mp4", "x/2.mp4"], ["a"] * 3)
    message = refused(lists, raw, "--train", whole)
    assert f"{raw}/x/" in message
    assert f", which {whole}, line " in message
    given = [text(tmp_path / f"{n}.txt", [f"{n}.mp4"], ["a"]) for n in (1, 2, 3)]
    listing = listed(lists, raw, "--train", given[0], "--val", given[1], "--test", given[2])
    assert list(listing.table["split"]) == ["train", "val"]
    assert "none of the 1 videos of test is on the disk" in listing.notes


def test_paths_that_no_file_can_have(raw: Path, tmp_path: Path, refused: Any_) -> None:
    np.save(tmp_path / "l.npy", np.array(LABELS))
    for odd, shown in (("a/\ud800.mp4", r"'a/\ud800.mp4'"), ("a/\0b.mp4", r"'a/\x00b.mp4'")):
        np.save(tmp_path / "p.npy", np.array([*PATHS[:-1], odd], object), allow_pickle=True)
        message = refused(lists, raw, "--train", f"{tmp_path / 'p.npy'},{tmp_path / 'l.npy'}")
        assert f"p.npy, entry 19: {shown} is not a path" in message


def test_frames_beside_other_pictures(tmp_path: Path, touch: Any_, listed: Any_, unused: Any_) -> None:
    folders = [f"{number}" for number in range(6)]
    names = [f"{kind}_{number:05d}.jpg" for kind in ("img", "flow_x") for number in range(1, 4)]
    raw = touch(tmp_path / "raw", [f"{folder}/{name}" for folder in folders for name in [*names, "info.txt"]])
    listing = listed(
        lists, raw, "--train", text(tmp_path / "l.txt", folders, [f"3 {number % 2}" for number in range(6)])
    )
    assert sorted(listing.table["path"]) == folders
    reasons = list(unused(raw, listing).values())
    assert {reason: reasons.count(reason) for reason in reasons} == {
        "a picture beside the frames img_#.jpg": 18,
        "not a video": 6,
    }


def test_numbers_of_thousands_of_digits(raw: Path, tmp_path: Path, listed: Any_, refused: Any_) -> None:
    huge = "9" * 5000
    (tmp_path / "classes.txt").write_text(f"0 run\n{huge} jump\n")
    named = listed(lists, raw, "--train", text(tmp_path / "l.txt"), "--classes", tmp_path / "classes.txt")
    assert set(named.table["label"]) == {"0 run", f"{huge} jump"}  # lines of names: no class has such a number
    file = text(tmp_path / "l.txt", labels=[f"0 {huge} 1"] * 20)
    assert "line 1: " in refused(lists, raw, "--train", file, "--fields", "4")
    assert set(listed(lists, raw, "--train", text(tmp_path / "l.txt", labels=[huge] * 20)).table["label"]) == {huge}
