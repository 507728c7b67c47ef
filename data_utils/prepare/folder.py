"""Any folder of videos, or a CSV that lists them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from config.errors import InputError
from data_utils.catalog_file import SPLITS
from data_utils.prepare.annotation_files import chosen_file, path_inside, raw_folder, read_table
from data_utils.prepare.disk import VIDEO_EXTENSIONS, entries, missing, refuse_bytes
from data_utils.prepare.listing import MISSING, Listing, make_listing
from data_utils.prepare.splits import add_draw_options, by_group, check_draw, rows_of, within_classes

# The catalog's own: a column of the CSV with such a name would be taken for what `prepare.py` measures.
_RESERVED = ("split", "path", "label", "group", "frames", "height", "width", "fps", "stored")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py folder`."""
    parser.add_argument("--csv", type=Path, help="lists the videos; without it, the folder of a video is its label")
    parser.add_argument("--path-column", default="path", help="column of the CSV: path relative to --raw")
    parser.add_argument("--label-column", default="label", help="column of the CSV: what the video shows")
    parser.add_argument("--group-column", help="column of the CSV: who or what must not be in two splits")
    parser.add_argument("--keep-columns", metavar="A,B", help="columns of the CSV to keep: captions, more labels")
    add_draw_options(parser, val=0.15, test=0.15)
    add_flip_option(parser)


def add_flip_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--flip`, for datasets of which nothing is known."""
    text = "share of training windows to mirror; 0 where labels know left from right (default: 0.5)"
    parser.add_argument("--flip", type=_share, default=0.5, metavar="SHARE", help=text)


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos, and draws val and test within each class, or by group.

    Raises:
        InputError: there are no videos or too few for the splits, or the CSV is wrong.
    """
    raw = raw_folder(options.raw)
    for option in ("group_column", "keep_columns"):
        if getattr(options, option) and not options.csv:
            raise InputError(f"--{option.replace('_', '-')} needs --csv, whose column it is")
    shares = {"val": options.val_share, "test": options.test_share}
    check_draw(shares, options.seed)
    table = _from_folder(raw) if options.csv is None else _from_csv(raw, options)
    if "group" in table:
        parts = by_group(table["group"].tolist(), shares, options.seed)
    else:
        for label, rows in rows_of(table["label"].tolist()).items():
            if len(rows) < len(SPLITS):
                raise InputError(
                    f"class '{label}' has {len(rows)} videos, too few for {' and '.join(SPLITS)}; add some"
                )
        parts = within_classes(table["label"].tolist(), None, shares, options.seed)
    table.insert(0, "split", parts)
    reasons = [MISSING if gone else None for gone in missing(raw, table["path"].tolist())]
    return make_listing("folder", raw, table, reasons, options.flip, [])


def _from_folder(raw: Path) -> pd.DataFrame:
    """Videos of `raw/class/`, hidden files left out, in the order of their names."""
    videos = [
        (f"{folder.name}/{file.name}", folder.name)
        for folder in entries(raw)
        if folder.is_dir()
        for file in entries(Path(folder.path))
        if file.name.lower().endswith(VIDEO_EXTENSIONS)
    ]
    if not videos:
        raise InputError(f"{raw} holds no class/video.ext with one of {' '.join(VIDEO_EXTENSIONS)}; set --raw or --csv")
    refuse_bytes(raw, (path for path, _ in videos))
    return pd.DataFrame(videos, columns=["path", "label"])


def _from_csv(raw: Path, options: argparse.Namespace) -> pd.DataFrame:
    file = chosen_file(raw, options.csv)
    wanted = {"path": options.path_column, "label": options.label_column}
    if options.group_column:
        wanted["group"] = options.group_column
    kept = [name.strip() for name in options.keep_columns.split(",")] if options.keep_columns else []
    for column in kept:
        if column in _RESERVED:
            raise InputError(f"--keep-columns {column}: prepare.py writes a column of that name; rename the CSV's")
    source = read_table(file, [*wanted.values(), *kept])
    for column in wanted.values():
        empty = source.index[source[column] == ""]
        if len(empty):
            raise InputError(f"{file}, line {empty[0]}: nothing in column '{column}'; fill it in")
    table = pd.DataFrame(
        {name: source[column] for name, column in wanted.items()} | {name: source[name] for name in kept}
    )
    table["path"] = [path_inside(path, raw, f"{file}, line {line}") for line, path in table["path"].items()]
    twice = table.index[table["path"].duplicated()]
    if len(twice):
        path = table["path"][twice[0]]
        first = table.index[table["path"] == path][0]
        raise InputError(f"{file}, line {twice[0]}: {path} is listed before, in line {first}; keep one")
    return table.reset_index(drop=True)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return share
