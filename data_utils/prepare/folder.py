"""Any folder of videos, or a CSV that lists them."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pandas as pd

from config.errors import InputError
from data_utils.catalog.drawing import check_draw
from data_utils.catalog.label_text import normal_label
from data_utils.prepare.annotation_files import chosen_file, path_inside, raw_folder, read_table
from data_utils.prepare.disk import refuse_bytes
from data_utils.prepare.frames_on_disk import on_disk
from data_utils.prepare.layout import layout_of
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.sources import Unused, find_sources
from data_utils.prepare.splits import add_draw_options, draw

# The catalog's own: a column of the CSV with such a name would be taken for what `prepare.py` measures.
_RESERVED = ("split", "path", "label", "group", "frames", "height", "width", "fps", "stored")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py folder`."""
    parser.add_argument("--csv", type=Path, help="lists the videos; without it, the folder of a video is its label")
    parser.add_argument("--path-column", default="path", help="column of the CSV: path relative to --raw")
    text = "column of the CSV: what the video shows; empty where that is not known"
    parser.add_argument("--label-column", help=f"{text} (default: label, if there is one)")
    parser.add_argument("--group-column", help="column of the CSV: who or what must not be in two splits")
    parser.add_argument("--keep-columns", metavar="A,B", help="columns of the CSV to keep: captions, more labels")
    text = "without a CSV: the folder inside the folder of a class is who or what must not be in two splits"
    parser.add_argument("--group-by-folder", action="store_true", help=text)
    text = "without a CSV: folders are not classes; take the videos of all of them without labels"
    parser.add_argument("--unlabelled", action="store_true", help=text)
    add_draw_options(parser, val=0.15, test=0.15)
    add_flip_option(parser)
    add_fps_option(parser)


def add_flip_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--flip`, for datasets of which nothing is known."""
    text = "share of training windows to mirror; 0 where labels know left from right (default: 0.5)"
    parser.add_argument("--flip", type=_share, default=0.5, metavar="SHARE", help=text)


def add_fps_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--fps`, for folders of frames, which cannot say it themselves."""
    text = "frames per second of videos that are folders of pictures (default: not known)"
    parser.add_argument("--fps", type=_rate, default=0.0, metavar="RATE", help=text)


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos, and draws val and test within each class, or by group, where the folders do not say them.

    Raises:
        InputError: there are no videos or too few for the splits, or the CSV is wrong.
    """
    raw = raw_folder(options.raw)
    for option in ("group_column", "keep_columns"):
        if getattr(options, option) and not options.csv:
            raise InputError(f"--{option.replace('_', '-')} needs --csv, whose column it is")
    for option in ("group_by_folder", "unlabelled"):
        if getattr(options, option) and options.csv:
            raise InputError(f"--{option.replace('_', '-')} and --csv disagree: the CSV says it by its columns")
    shares = {"val": options.val_share, "test": options.test_share}
    check_draw(shares, options.seed)
    unused: list[Unused] = []
    notes: list[str] = []
    if options.csv is None:
        table, unused, notes = _from_folder(raw, options)
    else:
        table = _from_csv(raw, options)
    found = on_disk(raw, table["path"].tolist())
    shares = {split: share for split, share in shares.items() if not (table["split"] == split).any()}
    notes += draw(table, found.is_there, shares, options.seed)
    where = table.pop("where").tolist() if "where" in table else None
    return make_listing(
        "folder",
        raw,
        table,
        found.reasons,
        options.flip,
        notes,
        folders=found.folders,
        unused=unused,
        where=where,
        has_walked=options.csv is None,
    )


def _from_folder(raw: Path, options: argparse.Namespace) -> tuple[pd.DataFrame, list[Unused], list[str]]:
    """Videos of all folders below `raw`, what is none, and what to report about them."""
    sources, unused = find_sources(raw, getattr(options, "out", None))
    found = layout_of(sources, raw, labelled=not options.unlabelled)
    if not found.rows:
        first = f"; {unused[0].path!a} is {unused[0].reason}" if unused else ""
        raise InputError(f"{raw} holds no video and no folder of frames{first}; set --raw or --csv")
    refuse_bytes(raw, (row.path for row in found.rows))
    table = pd.DataFrame(found.rows, columns=["path", "split", "label", "group"])
    table["split"] = table["split"].fillna("train")
    if not options.group_by_folder:
        table = table.drop(columns="group")
    return table[["split", *table.columns.drop("split")]], unused + found.unused, found.notes


def _from_csv(raw: Path, options: argparse.Namespace) -> pd.DataFrame:
    file = chosen_file(raw, options.csv)
    wanted = {"path": options.path_column, "label": options.label_column or "label"}
    if options.group_column:
        wanted["group"] = options.group_column
    kept = [name.strip() for name in options.keep_columns.split(",")] if options.keep_columns else []
    for column in kept:
        if column in _RESERVED:
            raise InputError(f"--keep-columns {column}: prepare.py writes a column of that name; rename the CSV's")
    optional = {"label"} if options.label_column is None else set()
    source = read_table(file, [column for column in (*wanted.values(), *kept) if column not in optional])
    if wanted["label"] not in source:
        source = source.assign(label="")
    table = pd.DataFrame(
        {name: source[column] for name, column in wanted.items()} | {name: source[name] for name in kept}
    )
    for name in wanted.keys() & {"label", "group"}:
        table[name] = table[name].map(normal_label)
    for name, column in wanted.items():
        empty = table.index[table[name] == ""]
        if len(empty) and name != "label":
            raise InputError(f"{file}, line {empty[0]}: nothing in column '{column}'; fill it in")
    table["where"] = [f"{file}, line {line}" for line in table.index]
    table["path"] = [path_inside(path, raw, where) for path, where in zip(table["path"], table["where"], strict=True)]
    twice = table.index[table["path"].duplicated()]
    if len(twice):
        path = table["path"][twice[0]]
        first = table.index[table["path"] == path][0]
        raise InputError(f"{file}, line {twice[0]}: {path} is listed before, in line {first}; keep one")
    table.insert(0, "split", "train")
    return table.reset_index(drop=True)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0 and 1")
    return share


def _rate(text: str) -> float:
    rate = float(text)
    if not (math.isfinite(rate) and 0 < rate <= 1000):
        raise argparse.ArgumentTypeError(f"{text} is not a number of frames per second above 0, such as 12")
    return rate
