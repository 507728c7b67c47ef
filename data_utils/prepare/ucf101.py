"""UCF101 (Soomro et al., 2012, arXiv 1212.0402): the official lists, or an own split by group.

Its 25 groups a class are cut from 25 sources: clips of one group show the same person in the same place, so that a
val set drawn without regard to them measures memory.
"""

from __future__ import annotations

import argparse
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from config.errors import InputError
from data_utils.catalog.drawing import within_classes
from data_utils.prepare.annotation_files import chosen_folder, raw_folder, read_lines
from data_utils.prepare.class_names import ClassNames
from data_utils.prepare.disk import VIDEO_EXTENSIONS
from data_utils.prepare.frames_on_disk import MISSING
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.splits import add_draw_options
from data_utils.prepare.video_index import VideoIndex, stem

_GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)
_CLASSES = "classInd.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py ucf101`."""
    text = "official list whose test part is test; group: own split by group (default: 1)"
    parser.add_argument("--split", choices=("1", "2", "3", "group"), default="1", help=text)
    parser.add_argument("--lists", type=Path, help="folder of the lists (default: ucfTrainTestlist below --raw)")
    parser.add_argument("--videos", type=Path, help="folder of the videos (default: UCF-101 below --raw, or --raw)")
    add_draw_options(parser, val=0.15, test=0.25, note="; test with --split group only")


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos of one split; val is drawn by group within each class.

    Raises:
        InputError: lists or videos are missing or wrong.
    """
    raw = raw_folder(options.raw)
    usual = ("ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist", "annotations")
    lists = chosen_folder(raw, options.lists, usual, "--lists")
    videos = chosen_folder(raw, options.videos, ("UCF-101", "UCF101", "videos"), "--videos")
    index = VideoIndex(raw, videos, VIDEO_EXTENSIONS, getattr(options, "out", None))
    if options.split == "group":
        table, notes = _own_split(lists, index, options)
    else:
        table, notes = _official(lists, options)
    found = [index.find(stem(path)) for path in table["path"]]
    reasons = [MISSING if path is None else None for path in found]
    table["path"] = [listed if path is None else path for listed, path in zip(table["path"], found, strict=True)]
    return make_listing("ucf101", raw, table, reasons, 0.5, notes)


def _official(lists: Path, options: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the official lists, with val drawn from train."""
    files = {split: lists / f"{split}list0{options.split}.txt" for split in ("train", "test")}
    for file in files.values():
        if not file.is_file():
            raise InputError(f"{file} is missing; set --lists to the folder of the official lists, or --split group")
    numbers = _class_numbers(lists / _CLASSES)
    classes = ClassNames(numbers, lists / _CLASSES)
    rows: list[tuple[str, str, str, str]] = []
    seen: dict[str, str] = {}
    for split, file in files.items():
        for number, line in read_lines(file):
            where = f"{file}, line {number}"
            path, label = _parse(line, where, classes, numbers)
            key = path.split("/")[-1].lower()
            if key in seen:
                raise InputError(f"{where}: {path} is in {seen[key]} already; keep one")
            seen[key] = where
            rows.append((split, path, label, _group(path, label, where)))
    table = pd.DataFrame(rows, columns=["split", "path", "label", "group"])
    train = table["split"] == "train"
    shares = {"val": options.val_share}
    drawn = within_classes(table["label"][train].tolist(), table["group"][train].tolist(), shares, options.seed)
    table.loc[train, "split"] = drawn
    return table, [
        f"test is official test list {options.split}; val is {options.val_share:g} of its train list's groups, "
        f"drawn with seed {options.seed}"
    ]


def _own_split(lists: Path, index: VideoIndex, options: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    """Rows for all videos of the disk, val and test drawn by group."""
    file = lists / _CLASSES
    classes = ClassNames(_class_numbers(file), file) if file.is_file() else None
    rows = []
    for path in index.paths:
        name = posixpath.basename(posixpath.dirname(path))
        label = name if classes is None else classes.resolve(name, str(index.raw / path))
        rows.append((path, label, _group(path, label, str(index.raw / path))))
    if not rows:
        raise InputError(f"{index.folder} holds no videos; set --videos")
    table = pd.DataFrame(rows, columns=["path", "label", "group"])
    shares = {"val": options.val_share, "test": options.test_share}
    table.insert(0, "split", within_classes(table["label"].tolist(), table["group"].tolist(), shares, options.seed))
    note = f"val ({options.val_share:g}) and test ({options.test_share:g}) are drawn by group with seed {options.seed}"
    return table, [note]


def _class_numbers(file: Path) -> dict[str, str]:
    """Number (as text) by class, of lines `1 ApplyEyeMakeup`."""
    numbers: dict[str, str] = {}
    for line, text in read_lines(file):
        number, _, name = text.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise InputError(f"{file}, line {line}: '{text}' is not of the form `number class`; correct it")
        if name.strip() in numbers:
            raise InputError(f"{file}, line {line}: {name.strip()} is listed before; keep one")
        numbers[name.strip()] = number
    return numbers


def _parse(line: str, where: str, classes: ClassNames, numbers: Mapping[str, str]) -> tuple[str, str]:
    """Path and class of a line `Class/video.avi` or `Class/video.avi 1`."""
    path, _, number = line.partition(" ")
    folder, _, name = path.rpartition("/")
    if not folder or not name or ".." in folder.split("/"):
        raise InputError(f"{where}: '{line}' is not of the form `Class/video.avi`; correct it")
    label = classes.resolve(folder.split("/")[-1], where)
    if number.strip() not in ("", numbers[label]):
        raise InputError(f"{where}: {label} is class {numbers[label]} of {classes.source}, not {number}; correct it")
    return path, label


def _group(path: str, label: str, where: str) -> str:
    """The clips that are cut from one source: `ApplyEyeMakeup_g08`."""
    match = _GROUP.search(posixpath.splitext(path)[0])
    if match is None:
        raise InputError(f"{where}: {path} is not named v_Class_g01_c01.avi, so its group is not known; rename it")
    return f"{label}_{match[1].lower()}"
