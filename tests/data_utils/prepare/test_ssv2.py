from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_utils.prepare import ssv2

Any_ = Callable[..., Any]
TEMPLATES = [
    "Pushing [something] from left to right",
    "Putting [something], [something] and [something] on the table",
    "Bending [something] so that it deforms",
]
LABELS = {template.replace("[", "").replace("]", ""): str(number) for number, template in enumerate(TEMPLATES)}
NAMES = list(LABELS)
THINGS = ["a cup", 'the "blue" pen', "café"]
IDS = {"train": range(100, 130), "validation": range(200, 209), "test": range(300, 306)}


def entry(number: int) -> dict[str, Any]:
    template = TEMPLATES[number % 3]
    things = THINGS[: template.count("[")]
    caption = template.lower()
    for thing in things:
        caption = caption.replace("[something]", thing, 1)
    return {"id": str(number), "label": caption, "template": template, "placeholders": things}


def write(lists: Path, prefix: str = "something-something-v2-", validation: str = "validation") -> Path:
    lists.mkdir(parents=True, exist_ok=True)
    dump(lists / f"{prefix}labels.json", LABELS)
    for split, ids in IDS.items():
        name = validation if split == "validation" else split
        entries = [{"id": str(number)} if split == "test" else entry(number) for number in ids]
        dump(lists / f"{prefix}{name}.json", entries)
    return lists


def dump(file: Path, content: object) -> None:
    file.write_text(json.dumps(content))


def videos() -> list[str]:
    return [f"{number}.webm" for ids in IDS.values() for number in ids]


@pytest.fixture
def raw(tmp_path: Path, touch: Any_) -> Path:
    raw: Path = touch(tmp_path / "raw", [f"20bn-something-something-v2/{name}" for name in videos()])
    write(raw)
    return raw


def test_without_answers_validation_is_test(raw: Path, listed: Any_, by_split: Any_, unused: Any_) -> None:
    listing = listed(ssv2, raw, "--val-share", "0.2")
    assert (listing.name, listing.flip, listing.absent) == ("ssv2", 0.0, [])
    assert list(listing.table.columns) == ["split", "path", "label", "caption"]
    paths = by_split(listing, "path")
    assert paths["test"] == [f"20bn-something-something-v2/{number}.webm" for number in IDS["validation"]]
    assert len(paths["train"]) == 24
    assert len(paths["val"]) == 6
    assert sorted(by_split(listing, "label")["val"]) == sorted([*LABELS] * 2)
    assert "6 videos of the official test have no labels and are left out" in listing.notes
    reasons = list(unused(raw, listing).values())
    assert reasons.count("a video of the official test, which has no label") == 6
    assert "a video that no list names" not in reasons
    assert any("the official validation is test" in note for note in listing.notes)
    assert by_split(listed(ssv2, raw, "--val", "0.2", "--seed", "5"), "path")["val"] != paths["val"]


def test_labels_and_captions(raw: Path, listed: Any_) -> None:
    rows = listed(ssv2, raw).table.set_index("path")
    row = rows.loc["20bn-something-something-v2/102.webm"]
    assert tuple(row[["label", "caption"]]) == (
        "Pushing something from left to right",
        "pushing a cup from left to right",
    )
    row = rows.loc["20bn-something-something-v2/200.webm"]
    assert row["caption"] == "bending a cup so that it deforms"
    row = rows.loc["20bn-something-something-v2/100.webm"]
    assert row["label"] == "Putting something, something and something on the table"
    assert row["caption"] == 'putting a cup, the "blue" pen and café on the table'


def test_a_caption_is_filled_in_where_the_list_has_none(raw: Path, listed: Any_, refused: Any_) -> None:
    file = raw / "something-something-v2-train.json"
    entries = [{key: value for key, value in entry(n).items() if key != "label"} for n in IDS["train"]]
    dump(file, entries)
    captions = listed(ssv2, raw).table.set_index("path")["caption"]
    assert captions["20bn-something-something-v2/100.webm"] == ('Putting a cup, the "blue" pen and café on the table')
    entries[1]["placeholders"] = []
    dump(file, entries)
    assert "train.json, entry 2: no 'label', and the 'placeholders' do not fit" in refused(ssv2, raw)


@pytest.mark.parametrize("header", ["", "id;label\n"])
def test_answers_label_the_test(raw: Path, listed: Any_, by_split: Any_, header: str) -> None:
    lines = [f"{number};{[*LABELS][number % 3]}" for number in list(IDS["test"])[1:]]
    (raw / "test-answers.csv").write_text(header + "\r\n".join(lines) + "\r\n")
    listing = listed(ssv2, raw)
    paths = by_split(listing, "path")
    assert paths["test"] == [f"20bn-something-something-v2/{number}.webm" for number in list(IDS["test"])[1:]]
    assert len(paths["train"]) == 30
    assert len(paths["val"]) == 9
    assert set(by_split(listing, "caption")["test"]) == {""}
    assert by_split(listing, "label")["test"][0] == [*LABELS][301 % 3]
    assert listing.notes[0] == "1 videos of the official test have no labels and are left out"
    assert any("no caption" in note for note in listing.notes)


def test_a_labelled_test_is_test(raw: Path, listed: Any_, by_split: Any_) -> None:
    dump(raw / "something-something-v2-test.json", [entry(number) for number in IDS["test"]])
    listing = listed(ssv2, raw)
    assert [len(values) for values in by_split(listing, "path").values()] == [30, 9, 6]
    assert "" not in set(listing.table["caption"])
    assert listing.notes == []


@pytest.mark.parametrize(
    ("place", "prefix", "validation", "home"),
    [
        ("labels", "", "validation", "20bn-something-something-v2/"),
        ("annotations", "something-something-v2-", "validation", "videos/"),
        (".", "", "val", ""),
    ],
)
def test_layouts(
    tmp_path: Path, touch: Any_, listed: Any_, place: str, prefix: str, validation: str, home: str
) -> None:
    raw = touch(tmp_path, [f"{home}{name}" for name in videos()])
    write(raw / place, prefix, validation)
    assert len(listed(ssv2, raw).table) == 39


def test_lists_elsewhere_and_no_test_list(tmp_path: Path, touch: Any_, listed: Any_, unused: Any_) -> None:
    raw = touch(tmp_path / "raw", [f"clips/{name.replace('webm', 'mp4')}" for name in videos()])
    lists = write(tmp_path / "lists")
    (lists / "something-something-v2-test.json").unlink()
    listing = listed(ssv2, raw, "--lists", lists, "--videos", "clips")
    assert len(listing.table) == 39
    assert list(unused(raw, listing).values()) == ["a video that no list names"] * 6


def test_missing_videos_are_told(raw: Path, listed: Any_) -> None:
    (raw / "20bn-something-something-v2" / "201.webm").unlink()
    assert listed(ssv2, raw).absent == [("test", "201.webm", "missing")]


def test_wrong_lists(raw: Path, refused: Any_) -> None:
    train, labels = raw / "something-something-v2-train.json", raw / "something-something-v2-labels.json"
    good = [entry(number) for number in IDS["train"]]
    cases: list[tuple[object, str]] = [
        ({"a": 1}, "train.json is not a list of videos"),
        ([1], "train.json is not a list of videos"),
        ([], "train.json lists no videos"),
        ([*good, {"template": TEMPLATES[0]}], "train.json, entry 31: no 'id'"),
        ([*good, {**entry(1), "id": "../1"}], "train.json, entry 31: no 'id'"),
        ([*good, {"id": "1"}], "train.json, entry 31: no 'template'"),
        ([*good, {"id": "1", "template": 3}], "train.json, entry 31: no 'template'"),
        ([*good, {**entry(1), "label": 3}], "train.json, entry 31: 'label' is not text"),
        ([*good, {**entry(1), "template": "Eating [something]"}], "entry 31: 'Eating something' is not a class of"),
        ([{**good[0], "label": "a \ud800"}, *good[1:]], "'a \\ud800' is a caption that no UTF-8 file can hold"),
        ([*good, good[0]], "video 100 is entry 31 of the official list that becomes train and entry 1 of"),
        ([*good, entry(200)], "video 200 is entry 1 of the official list that becomes test and entry 31 of"),
        ([*good, entry(300)], "video 300 is"),
    ]
    for content, message in cases:
        dump(train, content)
        assert message in refused(ssv2, raw)
    for text, message in ((b'[{"id": ', "line 1, is not valid JSON"), (b"caf\xe9", "train.json is not UTF-8 text"),
                          (b"[" * 200_000, "train.json")):  # fmt: skip
        train.write_bytes(text)
        assert message in refused(ssv2, raw)
    train.unlink()
    assert "holds no something-something-v2-train.json and no train.json; set --lists" in refused(ssv2, raw)
    dump(train, good)
    twice = {**LABELS, "Bending_something so that it deforms": "3"}
    for content, message in (([], "not a table of template"), ({"a": "x"}, "not a table"), ({}, "no classes"),
                             (twice, "differ in spelling only")):  # fmt: skip
        dump(labels, content)
        assert message in refused(ssv2, raw)


def test_wrong_answers(raw: Path, refused: Any_) -> None:
    for text, message in {
        "300,Bending\n": "test-answers.csv, line 1: '300,Bending' is not of the form `id;label`",
        "300;Eating\n": "line 1: 'Eating' is not a class",
        f"300;{NAMES[0]}\n300;{NAMES[1]}\n": "line 2: 300 is listed before",
        f"100;{NAMES[0]}\n": "video 100 is entry 1 of the official list that becomes test",
        "": "test-answers.csv is empty",
    }.items():
        (raw / "test-answers.csv").write_text(text)
        assert message in refused(ssv2, raw)


def test_wrong_folders(raw: Path, tmp_path: Path, touch: Any_, refused: Any_) -> None:
    assert "is not a folder; set --raw" in refused(ssv2, tmp_path / "no")
    touch(raw, ["20bn-something-something-v2/copy/100.webm"])
    assert "have one name; choose a folder" in refused(ssv2, raw)
    (tmp_path / "empty").mkdir()
    assert "holds none of the 27 videos of train" in refused(ssv2, tmp_path / "empty", "--lists", raw)
