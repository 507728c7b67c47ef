"""Kinetics 400, 600, 700 and 700-2020 (Kay et al., 2017, arXiv 1705.06950), as the crawlers leave them.

Many videos are gone from where they were listed: that is normal, and each one that is missing is reported.
"""

from __future__ import annotations

import argparse
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from config.errors import InputError
from data_utils.catalog.catalog_file import SPLITS
from data_utils.catalog.drawing import within_classes
from data_utils.prepare.annotation_files import chosen_file, chosen_folder, raw_folder, read_table
from data_utils.prepare.class_names import ClassNames, spelling_key
from data_utils.prepare.disk import VIDEO_EXTENSIONS, files_below
from data_utils.prepare.frames_on_disk import MISSING
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.sources import UNLABELLED_TEST, Unused
from data_utils.prepare.splits import add_draw_options
from data_utils.prepare.video_index import VideoIndex

# By what the releases and their crawlers call the columns.
_COLUMNS = {
    "label": "label",
    "label_name": "label",
    "class": "label",
    "youtube_id": "id",
    "video_id": "id",
    "ytid": "id",
    "time_start": "start",
    "start_time": "start",
    "time_end": "end",
    "end_time": "end",
    "split": "split",
    "subset": "split",
}
_SPLITS = {"train": "train", "training": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
_SPLITS["testing"] = "test"
_CSV = re.compile(rf"(^|[^a-z])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})[^a-z/]*\.csv$", re.IGNORECASE)


class Row(NamedTuple):
    """A line of a list."""

    split: str
    label: str
    id: str
    start: int | None
    end: int | None
    where: str

    @property
    def name(self) -> str:
        """The usual name of the file, without extension."""
        return self.id if self.start is None or self.end is None else f"{self.id}_{self.start:06d}_{self.end:06d}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py kinetics`."""
    for split in SPLITS:
        text = f"official list of {split} (default: the only CSV below --raw named so, such as {split}.csv)"
        parser.add_argument(f"--{split}", type=Path, metavar="CSV", help=text)
    parser.add_argument("--csv", type=Path, help="one list of all splits instead; its column split says which")
    parser.add_argument("--videos", type=Path, help="folder of the videos, below --raw (default: --raw)")
    add_draw_options(parser, val=0.1, short=False, note=" from train by video where test has no labels")


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos of all splits.

    Where test has no labels, the official val is test and val is drawn from train.

    Raises:
        InputError: lists are missing or wrong, or the folder holds none of the videos.
    """
    raw = raw_folder(options.raw)
    out = getattr(options, "out", None)
    if options.csv is not None:
        tables = _by_split(chosen_file(raw, options.csv))
    else:
        tables = {split: _read(file) for split, file in _lists(raw, options, out).items()}
    rows, unlabelled, notes = _rows(tables)
    splits = [row.split for row in rows]
    if "val" not in splits:
        train = [number for number, row in enumerate(rows) if row.split == "train"]
        labels, ids = [rows[number].label for number in train], [rows[number].id for number in train]
        drawn = within_classes(labels, ids, {"val": options.val_share}, options.seed)
        for number, split in zip(train, drawn, strict=True):
            splits[number] = str(split)
        notes.append(f"val is {options.val_share:g} of the official train, drawn with seed {options.seed}")
    index = VideoIndex(raw, chosen_folder(raw, options.videos, (), "--videos"), VIDEO_EXTENSIONS, out)
    paths, reasons, more = _find(index, rows)
    columns = {"split": splits, "path": paths, "label": [r.label for r in rows], "group": [r.id for r in rows]}
    notes += more
    unused = [Unused(path, UNLABELLED_TEST) for row in unlabelled for path in _candidates(index, row)]
    return make_listing("kinetics", raw, pd.DataFrame(columns), reasons, 0.5, notes, unused=unused)


def _lists(raw: Path, options: argparse.Namespace, out: Path | None) -> dict[str, Path]:
    """The list of each split: as given, or the only one on the disk."""
    given = {split: getattr(options, split) for split in SPLITS if getattr(options, split) is not None}
    if given:
        return {split: chosen_file(raw, file) for split, file in given.items()}
    found: dict[str, Path] = {}
    for path in files_below(raw, (".csv",), out):
        match = _CSV.search(path)
        if match is None or not _is_list(raw / path):
            continue
        split = _SPLITS[match[2].lower()]
        if split in found:
            raise InputError(
                f"{found[split]} and {raw / path} are both lists of {split}; choose with --{split} and others"
            )
        found[split] = raw / path
    return found


def _is_list(file: Path) -> bool:
    """Whether the first line names a column of YouTube's ids: other CSVs are not lists of the crawlers."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            return "id" in {_COLUMNS.get(_column(name)) for name in lines.readline(10_000).split(",")}
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error


def _column(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().strip('"').lower())


def _read(file: Path) -> pd.DataFrame:
    """Columns id, where and, as far as there are any, label, start, end, split."""
    source: pd.DataFrame = read_table(file)
    named: dict[str, str] = {}
    for name in source.columns:
        column = _COLUMNS.get(_column(name))
        if column is not None and named.setdefault(column, name) != name:
            raise InputError(f"{file} has two columns for one thing, '{named[column]}' and '{name}'; remove one")
    if "id" not in named:
        raise InputError(f"{file} has no column 'youtube_id', only {', '.join(source.columns)}")
    if ("start" in named) != ("end" in named):
        raise InputError(f"{file} has only one of the columns 'time_start' and 'time_end'; add the other")
    table = pd.DataFrame({column: source[name].str.strip() for column, name in named.items()})
    table["where"] = [f"{file}, line {line}" for line in source.index]
    return table


def _by_split(file: Path) -> dict[str, pd.DataFrame]:
    """The tables of a list of all splits."""
    table = _read(file)
    if "split" not in table:
        raise InputError(f"{file} has no column 'split'; add it, or give --train, --val and --test")
    splits = table["split"].str.lower().map(_SPLITS)
    if splits.isna().any():
        row = table[splits.isna()].iloc[0]
        raise InputError(f"{row['where']}: '{row['split']}' is none of {', '.join(SPLITS)}; correct it")
    return {split: table[splits == split] for split in SPLITS if (splits == split).any()}


def _rows(tables: Mapping[str, pd.DataFrame]) -> tuple[list[Row], list[Row], list[str]]:
    """The rows of all splits under the catalog's names, those of an unlabelled test split, and notes about them."""
    if "train" not in tables or not {"val", "test"} & set(tables):
        raise InputError("there is no list of train, or none of val and test; set --raw, or --train, --val and --test")
    notes: list[str] = []
    tables = dict(tables)
    unlabelled: list[Row] = []
    if "test" in tables and not _has_labels(tables["test"]):
        unlabelled = _parse("test", tables.pop("test"), None)
        notes.append(f"the {len(unlabelled)} videos of the official test have no labels and are left out")
        if "val" not in tables:
            raise InputError("the official test has no labels and there is no list of val; set --val")
    if "test" not in tables:
        tables["test"] = tables.pop("val")
        notes.append("the official val is test")
    train = tables["train"]
    if not _has_labels(train):
        raise InputError(f"{train['where'].iloc[0]}: no label; train needs a column 'label'")
    source = Path(str(train["where"].iloc[0]).rpartition(", line ")[0])
    classes = ClassNames(dict.fromkeys(label for label in train["label"] if label), source)
    rows = [row for split in SPLITS if split in tables for row in _parse(split, tables[split], classes)]
    return rows, unlabelled, notes


def _has_labels(table: pd.DataFrame) -> bool:
    return "label" in table and bool((table["label"] != "").any())


def _parse(split: str, table: pd.DataFrame, classes: ClassNames | None) -> list[Row]:
    """The rows of a split; None for `classes`: they have no labels."""
    if "label" not in table and classes is not None:
        raise InputError(f"{table['where'].iloc[0]}: no column 'label'; add it")
    count = len(table)
    labels, starts, ends = (
        table[name].tolist() if name in table else [""] * count for name in ("label", "start", "end")
    )
    columns = (labels, table["id"].tolist(), starts, ends, table["where"].tolist())
    rows, known = [], {name: name for name in (classes.names if classes else [""])}
    for label, video, start, end, where in zip(*columns, strict=True):
        if not video or (not label and classes is not None):
            raise InputError(f"{where}: no {'label' if video else 'youtube_id'}; fill it in")
        if label not in known and classes is not None:
            known[label] = classes.resolve(label, where)
        rows.append(Row(split, known[label], video, _seconds(start, where), _seconds(end, where), where))
    return rows


def _seconds(text: str, where: str) -> int | None:
    """Whole seconds; None where nothing is said."""
    if not text:
        return None
    try:
        return int(text) if text.isdecimal() else int(float(text))
    except (ValueError, OverflowError):
        raise InputError(f"{where}: '{text}' is not a time in seconds; correct it") from None


def _find(index: VideoIndex, rows: list[Row]) -> tuple[list[str], list[str | None], list[str]]:
    """Path and reason (None where it is there) of each row, and what to report about them."""
    keys = {spelling_key(row.label) for row in rows}
    paths = [row.name for row in rows]
    reasons: list[str | None] = [MISSING] * len(rows)
    taken: dict[str, Row] = {}
    elsewhere = several = 0
    # What is tested on keeps its videos: of two rows with one file, that of test, then of val, has it.
    for number in sorted(range(len(rows)), key=lambda number: -SPLITS.index(rows[number].split)):
        row = rows[number]
        found = _candidates(index, row)
        if not found:
            continue
        best = min(found, key=lambda path: (*_distance(path, row, keys), path))
        several += len(found) > 1
        if best in taken:
            reasons[number] = f"{best} is the video of another line already: {taken[best].where}"
            continue
        taken[best], paths[number], reasons[number] = row, best, None
        elsewhere += _distance(best, row, keys)[0]
    notes = []
    if elsewhere:
        notes.append(
            f"{elsewhere} videos lie in the folder of another class than their list says; the list is followed"
        )
    if several:
        notes.append(f"{several} videos are on the disk more than once; the first that fits class and split is taken")
    return paths, reasons, notes


def _candidates(index: VideoIndex, row: Row) -> list[str]:
    """The files that a row's video may be. Names must agree in case, as ids may differ in nothing else."""
    names = (row.name, f"{row.id}_{row.start}_{row.end}", row.id)
    return next(filter(None, map(index.named, names)), [])


def _distance(path: str, row: Row, keys: set[str]) -> tuple[bool, bool]:
    """Whether the folders of a file are those of another class, and of another split."""
    *outer, folder = ("", *posixpath.dirname(path).split("/"))
    key = spelling_key(folder)
    parts = {_SPLITS.get(name.lower()) for name in (*outer, folder)} - {None}
    return key in keys and key != spelling_key(row.label), bool(parts) and row.split not in parts
