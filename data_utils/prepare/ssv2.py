"""Something-Something V2 (Goyal et al., ICCV 2017, arXiv 1706.04261): what hands do with things, with captions.

Its labels know left from right ("Pushing something from left to right"), so windows are never mirrored.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pandas as pd

from config.errors import InputError
from data_utils.catalog.drawing import within_classes
from data_utils.prepare.annotation_files import chosen_folder, raw_folder, read_json, read_lines
from data_utils.prepare.class_names import ClassNames
from data_utils.prepare.disk import VIDEO_EXTENSIONS
from data_utils.prepare.frames_on_disk import MISSING
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.sources import UNLABELLED_TEST, Unused
from data_utils.prepare.splits import add_draw_options
from data_utils.prepare.video_index import VideoIndex

_PREFIXES = ("something-something-v2-", "")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
Rows = list[tuple[str, str, str]]
"""(id, label, caption)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py ssv2`."""
    text = (
        "folder of the labels, train, validation and test JSON (default: labels or annotations below --raw, or --raw)"
    )
    parser.add_argument("--lists", type=Path, help=text)
    text = "folder of the videos (default: 20bn-something-something-v2 or videos below --raw, or --raw)"
    parser.add_argument("--videos", type=Path, help=text)
    add_draw_options(parser, val=0.1, note=" from train where test has no labels")


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos with their captions.

    Where there are no answers for test, the official validation is test and val is drawn from train.

    Raises:
        InputError: lists or videos are missing or wrong.
    """
    raw = raw_folder(options.raw)
    lists = chosen_folder(raw, options.lists, ("labels", "annotations"), "--lists")
    videos = chosen_folder(raw, options.videos, ("20bn-something-something-v2", "videos"), "--videos")
    classes = _classes(lists)
    train, validation = (_labelled(_needed(lists, name), classes) for name in ("train", "validation"))
    tests, left, notes = _tests(lists, classes)
    parts: dict[str, Rows] = {"train": train, "val": validation, "test": tests} if tests else {"train": train}
    parts.setdefault("test", validation)
    _refuse_twice([*parts.items(), ("test without labels", [(name, "", "") for name in left])])
    columns = ["split", "id", "label", "caption"]
    table = pd.DataFrame([(split, *row) for split, rows in parts.items() for row in rows], columns=columns)
    if "val" not in parts:
        labels = [label for _, label, _ in train]
        drawn = within_classes(labels, None, {"val": options.val_share}, options.seed)
        table.loc[table["split"] == "train", "split"] = drawn
        notes += [
            "the official validation is test; "
            f"val is {options.val_share:g} of the official train, drawn with seed {options.seed}"
        ]
    index = VideoIndex(raw, videos, VIDEO_EXTENSIONS, getattr(options, "out", None))
    found = [index.find(name) for name in table["id"]]
    reasons = [MISSING if path is None else None for path in found]
    paths = [path or f"{name}.webm" for path, name in zip(found, table["id"], strict=True)]
    table = table.assign(path=paths)[["split", "path", "label", "caption"]]
    unused = [Unused(path, UNLABELLED_TEST) for path in map(index.find, left) if path]
    return make_listing("ssv2", raw, table, reasons, 0.0, notes, unused=unused)


def _file(lists: Path, name: str, ending: str) -> Path | None:
    names = [f"{prefix}{name}{ending}" for prefix in _PREFIXES]
    return next((lists / file for file in names if (lists / file).is_file()), None)


def _needed(lists: Path, name: str) -> Path:
    file = _file(lists, name, ".json")
    if file is None and name == "validation":
        file = _file(lists, "val", ".json")
    if file is None:
        raise InputError(f"{lists} holds no {_PREFIXES[0]}{name}.json and no {name}.json; set --lists")
    return file


def _classes(lists: Path) -> ClassNames:
    """The official templates, in the order of their numbers."""
    file = _needed(lists, "labels")
    content = read_json(file)
    if not isinstance(content, dict) or not all(str(number).isdecimal() for number in content.values()):
        raise InputError(f"{file} is not a table of template and number; download it again")
    return ClassNames(map(_plain, sorted(content, key=lambda template: int(content[template]))), file)


def _plain(template: str) -> str:
    """A template without brackets: what a class is called."""
    return _BRACKETS.sub(r"\1", template)


def _entries(file: Path) -> list[dict[str, Any]]:
    content = read_json(file)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f"{file} is not a list of videos; download it again")
    if not content:
        raise InputError(f"{file} lists no videos; download it again")
    for number, entry in enumerate(content, 1):
        if not re.fullmatch(r"[\w-]+", str(entry.get("id", ""))):
            raise InputError(f"{file}, entry {number}: no 'id'; download it again")
    return content


def _labelled(file: Path, classes: ClassNames) -> Rows:
    """The videos of a list with labels."""
    return [_row(entry, f"{file}, entry {number}", classes) for number, entry in enumerate(_entries(file), 1)]


def _row(entry: dict[str, Any], where: str, classes: ClassNames) -> tuple[str, str, str]:
    template = entry.get("template")
    if not isinstance(template, str):
        raise InputError(f"{where}: no 'template'; download it again")
    caption = entry.get("label")
    if caption is None:
        caption = _filled(template, entry.get("placeholders"), where)
    if not isinstance(caption, str):
        raise InputError(f"{where}: 'label' is not text; download it again")
    return str(entry["id"]), classes.resolve(_plain(template), where), caption


def _filled(template: str, placeholders: Any, where: str) -> str:
    """The template with the things that the video shows."""
    if not isinstance(placeholders, list) or len(placeholders) != len(_BRACKETS.findall(template)):
        raise InputError(f"{where}: no 'label', and the 'placeholders' do not fit the template; download it again")
    things = iter(map(str, placeholders))
    return _BRACKETS.sub(lambda _: next(things), template)


def _tests(lists: Path, classes: ClassNames) -> tuple[Rows, list[str], list[str]]:
    """The labelled videos of test, the ids of the others, and what to report about them."""
    file = _file(lists, "test", ".json")
    entries = _entries(file) if file is not None else []
    if file is not None and all("template" in entry for entry in entries):
        return _labelled(file, classes), [], []
    answers_file = _file(lists, "test-answers", ".csv")
    answers = _answers(answers_file, classes) if answers_file is not None else {}
    ids = [str(entry["id"]) for entry in entries]
    left = [name for name in ids if name not in answers]
    rows = [(name, label, "") for name, label in answers.items()]
    notes = [f"{len(left)} videos of the official test have no labels and are left out"] if left else []
    if rows:
        notes.append("videos of test have no caption: the answers give their class only")
    return rows, left, notes


def _answers(file: Path, classes: ClassNames) -> dict[str, str]:
    """The class of each test video, of lines `id;label`."""
    answers: dict[str, str] = {}
    for number, line in read_lines(file):
        name, separator, label = line.partition(";")
        where = f"{file}, line {number}"
        if number == 1 and name.strip().lower() in ("id", "video_id"):
            continue
        if not separator or not re.fullmatch(r"[\w-]+", name.strip()):
            raise InputError(f"{where}: '{line}' is not of the form `id;label`; correct it")
        if name.strip() in answers:
            raise InputError(f"{where}: {name.strip()} is listed before; keep one")
        answers[name.strip()] = classes.resolve(_plain(label.strip().strip('"')), where)
    return answers


def _refuse_twice(parts: list[tuple[str, Rows]]) -> None:
    seen: dict[str, str] = {}
    for split, rows in parts:
        for number, (name, _, _) in enumerate(rows, 1):
            where = f"entry {number} of the official list that becomes {split}"
            if name in seen:
                raise InputError(f"video {name} is {where} and {seen[name]}; keep one")
            seen[name] = where
