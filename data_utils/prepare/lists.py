"""Lists of paths and labels, as other repositories bring them: text files, or pairs of .npy files."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from config.errors import InputError
from data_utils.prepare.annotation_files import chosen_file, path_inside, raw_folder, read_lines
from data_utils.prepare.class_names import ClassNames
from data_utils.prepare.disk import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, missing
from data_utils.prepare.folder import add_flip_option
from data_utils.prepare.listing import MISSING, Listing, make_listing
from data_utils.prepare.npy_file import read_npy
from data_utils.prepare.splits import add_draw_options, within_classes

_SEPARATORS = {"tab": "\t", "comma": ",", "space": None}  # None: any number of blanks
_EXTENSIONS = (*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS)
_PAIR = re.compile(r"(.+\.npy),(.+\.npy)")
_HEADERS = {"path,label", "path label", "path\tlabel"}
Resolve = Callable[[str, str], str]
"""The class of (label, where it stands)."""


class Row(NamedTuple):
    """An entry of a list."""

    path: str
    label: str
    where: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py lists`."""
    text = "list of {}: a text file of lines `path label`, or `paths.npy,labels.npy`{}"
    parser.add_argument("--train", required=True, metavar="FILE", help=text.format("train", ""))
    for split in ("val", "test"):
        parser.add_argument(f"--{split}", metavar="FILE", help=text.format(split, "; without it, drawn from train"))
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the labels: lines `name` or `id name`")
    text = "what stands between path and label in text lists (default: what fits all lines)"
    parser.add_argument("--separator", choices=("auto", *_SEPARATORS), default="auto", help=text)
    text = "3: lines of text lists are `path frames label` (default: 2)"
    parser.add_argument("--fields", type=int, choices=(2, 3), default=2, help=text)
    add_draw_options(parser, val=0.15, test=0.15, short=False, note=" from train where it has no list")
    add_flip_option(parser)


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos; splits without a list are drawn from train, within each class.

    Raises:
        InputError: a list is missing, empty or wrong, or names a video twice or outside of --raw.
    """
    raw = raw_folder(options.raw)
    resolve = _resolver(chosen_file(raw, options.classes)) if options.classes else _unchanged
    rows: list[tuple[str, str, str]] = []
    seen: dict[str, str] = {}
    for split in ("train", "val", "test"):
        given = getattr(options, split)
        for row in _read(raw, given, options) if given is not None else []:
            path = path_inside(row.path, raw, row.where)
            if path in seen:
                raise InputError(f"{row.where}: {path} is in {seen[path]} already; keep one")
            seen[path] = row.where
            rows.append((split, path, resolve(row.label, row.where)))
    table = pd.DataFrame(rows, columns=["split", "path", "label"])
    notes = _draw(table, options)
    reasons = [MISSING if gone else None for gone in missing(raw, table["path"].tolist())]
    return make_listing("lists", raw, table, reasons, options.flip, notes)


def _unchanged(label: str, _: str) -> str:
    return label


def _draw(table: pd.DataFrame, options: argparse.Namespace) -> list[str]:
    """Draws the splits that have no list, in place."""
    shares = {split: getattr(options, f"{split}_share") for split in ("val", "test") if getattr(options, split) is None}
    if not shares:
        return []
    train = table["split"] == "train"
    table.loc[train, "split"] = within_classes(table["label"][train].tolist(), None, shares, options.seed)
    drawn = " and ".join(f"{split} ({share:g})" for split, share in shares.items())
    return [f"{drawn} drawn from the list of train with seed {options.seed}"]


def _read(raw: Path, given: str, options: argparse.Namespace) -> list[Row]:
    pair = _PAIR.fullmatch(given)
    if pair is not None:
        return _read_pair(*(chosen_file(raw, Path(name)) for name in pair.groups()))
    file = chosen_file(raw, Path(given))
    if file.suffix.lower() == ".npy":
        raise InputError(f"{file} is one .npy file; give two as paths.npy,labels.npy")
    lines = read_lines(file)
    if lines[0][1].lower().replace(", ", ",") in _HEADERS:
        lines = lines[1:]
    if not lines:
        raise InputError(f"{file} lists no videos; add lines")
    separator = _separator(file, lines, options)
    return [_parse(line, separator, options.fields, f"{file}, line {number}") for number, line in lines]


def _read_pair(paths_file: Path, labels_file: Path) -> list[Row]:
    paths, labels = read_npy(paths_file), read_npy(labels_file)
    if len(paths) != len(labels):
        raise InputError(
            f"{paths_file} has {len(paths)} paths, {labels_file} {len(labels)} labels; they do not belong together"
        )
    if not paths:
        raise InputError(f"{paths_file} lists no videos; save it with entries")
    for number, (path, label) in enumerate(zip(paths, labels, strict=True)):
        if not path or not label:
            raise InputError(f"{labels_file if path else paths_file}, entry {number}: nothing in it; fill it in")
    return [
        Row(path, label, f"{paths_file}, entry {n}") for n, (path, label) in enumerate(zip(paths, labels, strict=True))
    ]


def _separator(file: Path, lines: list[tuple[int, str]], options: argparse.Namespace) -> str | None:
    """The separator: as chosen, or the first with which all paths end like a video, else all labels are numbers."""
    if options.separator != "auto":
        return _SEPARATORS[options.separator]
    for fits in (_ends_like_video, _label_is_number):
        for mark in _SEPARATORS.values():
            rows = (_fields(line, mark, options.fields) for _, line in lines)
            if all(len(row) == options.fields and all(row) and fits(row) for row in rows):
                return mark
    form = "path label" if options.fields == 2 else "path frames label"
    for number, line in lines:  # the line to blame: the first that fits none
        ways = [_fields(line, mark, options.fields) for mark in _SEPARATORS.values()]
        if not any(len(row) == options.fields and _label_is_number(row) for row in ways):
            raise InputError(f"{file}, line {number}: '{line:.80}' is no `{form}`; correct it, or set --separator")
    raise InputError(f"{file}: lines differ in what stands between path and label; set --separator")


def _ends_like_video(row: list[str]) -> bool:
    return _unquoted(row[0]).lower().endswith(_EXTENSIONS)


def _label_is_number(row: list[str]) -> bool:
    return row[-1].isdecimal()


def _fields(line: str, mark: str | None, fields: int) -> list[str]:
    return [field.strip() for field in line.rsplit(mark, fields - 1)]


def _parse(line: str, mark: str | None, fields: int, where: str) -> Row:
    found = _fields(line, mark, fields)
    if len(found) != fields or not all(found):
        raise InputError(f"{where}: '{line:.80}' has no {fields} fields; correct it, or set --separator or --fields")
    if fields == 3 and not found[1].isdecimal():
        raise InputError(f"{where}: '{found[1]:.80}' is no number of frames; correct it, or set --fields 2")
    return Row(_unquoted(found[0]), _unquoted(found[-1]), where)


def _unquoted(field: str) -> str:
    """A field without the quotes that CSV writers put around it."""
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if quoted else field


def _resolver(file: Path) -> Resolve:
    """Turns numbers into names, and names into their official spelling."""
    lines = read_lines(file)
    pairs = [line.partition(" ") for _, line in lines]
    if all(number.isdecimal() and name.strip() for number, _, name in pairs):
        numbered = [(int(number), name.strip()) for number, _, name in pairs]
    else:
        numbered = list(enumerate(line for _, line in lines))
    for what, values in (("number", [n for n, _ in numbered]), ("class", [name for _, name in numbered])):
        value, count = Counter(values).most_common(1)[0]
        if count > 1:
            raise InputError(f"{file} names the {what} {value} {count} times; keep one")
    names = dict(numbered)
    classes = ClassNames(names.values(), file)

    def resolve(label: str, where: str) -> str:
        if not label.isdecimal():
            return classes.resolve(label, where)
        if int(label) not in names:
            low, high = min(names), max(names)
            raise InputError(f"{where}: label {label} is no class of {file}, which has {low} to {high}; correct it")
        return names[int(label)]

    return resolve
