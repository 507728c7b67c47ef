"""HMDB51 (Kuehne et al., ICCV 2011): clips of films, with three official splits.

Clips of one film share people and places, so val is drawn from train by film.
"""

from __future__ import annotations

import argparse
import posixpath
from pathlib import Path

import pandas as pd

from config.errors import InputError
from data_utils.catalog.drawing import within_classes
from data_utils.catalog.source_groups import film
from data_utils.prepare.annotation_files import chosen_folder, raw_folder, read_lines
from data_utils.prepare.class_names import ClassNames, spelling_key
from data_utils.prepare.disk import VIDEO_EXTENSIONS
from data_utils.prepare.frames_on_disk import MISSING
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.sources import Unused
from data_utils.prepare.splits import add_draw_options
from data_utils.prepare.video_index import VideoIndex, stem

_USE = {"0": "unused", "1": "train", "2": "test"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py hmdb51`."""
    parser.add_argument("--split", choices=("1", "2", "3"), default="1", help="official split (default: 1)")
    text = "folder of the lists <class>_test_split1.txt (default: testTrainMulti_7030_splits below --raw)"
    parser.add_argument("--lists", type=Path, help=text)
    text = "folder of the classes' folders (default: hmdb51_org, hmdb51 or videos below --raw, or --raw)"
    parser.add_argument("--videos", type=Path, help=text)
    add_draw_options(parser, val=0.15, note=" from train by film")


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos of one official split; val is drawn from train by film.

    Raises:
        InputError: lists or videos are missing or wrong.
    """
    raw = raw_folder(options.raw)
    archive = "testTrainMulti_7030_splits"
    usual = (archive, f"test_train_splits/{archive}", "test_train_splits", "splits", "metafile", "annotations")
    lists = chosen_folder(raw, options.lists, usual, "--lists")
    videos = chosen_folder(raw, options.videos, ("hmdb51_org", "hmdb51", "HMDB51", "videos"), "--videos")
    rows, unused = _read_lists(lists, options.split)
    index = VideoIndex(raw, videos, VIDEO_EXTENSIONS, getattr(options, "out", None))
    found = [_find(index, label, name) for _, name, label, _ in rows]
    notes = [
        f"test is that of official split {options.split}; val is {options.val_share:g} of its train part, drawn by "
        f"film with seed {options.seed}"
    ]
    if unused:
        notes.append(f"{len(unused)} videos are in neither part of official split {options.split} and left out")
    table = pd.DataFrame(rows, columns=["split", "path", "label", "group"])
    table["path"] = [path or f"{row[2]}/{row[1]}" for path, row in zip(found, rows, strict=True)]
    train = table["split"] == "train"
    shares = {"val": options.val_share}
    drawn = within_classes(table["label"][train].tolist(), table["group"][train].tolist(), shares, options.seed)
    table.loc[train, "split"] = drawn
    reasons = [MISSING if path is None else None for path in found]
    neither = (_find(index, label, name) for label, name in unused)
    left = [Unused(path, f"in neither part of official split {options.split}") for path in neither if path]
    return make_listing("hmdb51", raw, table, reasons, 0.5, notes, unused=left)


def _read_lists(lists: Path, split: str) -> tuple[list[tuple[str, str, str, str]], list[tuple[str, str]]]:
    """(split, file name, class, film) of the videos in use, and (class, file name) of the others."""
    ending = f"_test_split{split}.txt"
    files = sorted(lists.glob(f"*{ending}"))
    if not files:
        raise InputError(f"{lists} holds no <class>{ending}; set --lists to the folder of the official lists")
    ClassNames((file.name.removesuffix(ending) for file in files), lists)  # refuses two spellings of one class
    rows: list[tuple[str, str, str, str]] = []
    unused: list[tuple[str, str]] = []
    for file in files:
        label = file.name.removesuffix(ending)
        seen: dict[str, int] = {}
        for number, line in read_lines(file):
            name, use = line.rsplit(None, 1) if len(line.split()) > 1 else ("", line)
            if use not in _USE or not name or "/" in name:
                raise InputError(f"{file}, line {number}: '{line}' is not of the form `video.avi 0|1|2`; correct it")
            if name in seen:
                raise InputError(f"{file}, line {number}: {name} is in line {seen[name]} already; keep one")
            seen[name] = number
            if _USE[use] == "unused":
                unused.append((label, name))
            else:
                rows.append((_USE[use], name, label, film(name, label)))
    return rows, unused


def _find(index: VideoIndex, label: str, name: str) -> str | None:
    """The file of a video: that of its class's folder, where others have the same name."""
    paths = index.alike(stem(name))
    own = [path for path in paths if spelling_key(posixpath.basename(posixpath.dirname(path))) == spelling_key(label)]
    if len(own) > 1:
        raise InputError(f"{index.raw}: {own[0]} and {own[1]} have one name; choose a folder that holds one of them")
    return own[0] if own else None
