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
from data_utils.catalog.label_text import normal_label
from data_utils.prepare.annotation_files import chosen_file, path_inside, raw_folder, read_lines
from data_utils.prepare.class_names import ClassNames
from data_utils.prepare.folder import add_flip_option, add_fps_option
from data_utils.prepare.frames_on_disk import on_disk
from data_utils.prepare.list_lines import FORMS, MARKS, form_of, parse, without_header
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.npy_file import read_npy
from data_utils.prepare.splits import add_draw_options, draw

_PAIR = re.compile(r"(.+\.npy),(.+\.npy)")
_DIGITS = 18  # of a class's number
Resolve = Callable[[str, str], str]
"""The class of (label, where it stands)."""


class Row(NamedTuple):
    """An entry of a list."""

    path: str
    label: str
    where: str
    frames: int = 0
    """0: the list does not say."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py lists`."""
    text = "list of {}: a text file of lines `path label`, or `paths.npy,labels.npy`{}"
    parser.add_argument("--train", required=True, metavar="FILE", help=text.format("train", ""))
    for split in ("val", "test"):
        parser.add_argument(f"--{split}", metavar="FILE", help=text.format(split, "; without it, drawn from train"))
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the labels: lines `name` or `id name`")
    text = "what stands between path and label in text lists (default: what fits the videos on the disk)"
    parser.add_argument("--separator", choices=("auto", *MARKS), default="auto", help=text)
    forms = ", ".join(f"{number}: `{form}`" for number, form in sorted(FORMS.items()))
    text = f"fields of a line of a text list, {forms} (default: what fits the videos on the disk)"
    parser.add_argument("--fields", type=int, choices=sorted(FORMS), help=text)
    add_draw_options(parser, val=0.15, test=0.15, short=False, note=" from train where it has no list")
    add_flip_option(parser)
    add_fps_option(parser)


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the videos; splits without a list are drawn from train, within each class.

    Raises:
        InputError: a list is missing, empty or wrong, or names a video twice or outside of --raw.
    """
    raw = raw_folder(options.raw)
    resolve = _resolver(chosen_file(raw, options.classes)) if options.classes else _unchanged
    rows: list[tuple[str, str, str, str, int]] = []
    seen: dict[str, str] = {}
    notes: list[str] = []
    for split in ("train", "val", "test"):
        given = getattr(options, split)
        for row in _read(raw, given, options, notes) if given is not None else []:
            path = path_inside(row.path, raw, row.where)
            if path in seen:
                raise InputError(f"{row.where}: {path} is in {seen[path]} already; keep one")
            seen[path] = row.where
            rows.append((split, path, resolve(row.label, row.where) if row.label else "", row.where, row.frames))
    table = pd.DataFrame(rows, columns=["split", "path", "label", "where", "listed_frames"])
    found = on_disk(raw, table["path"].tolist(), table.pop("listed_frames").tolist())
    shares = {split: getattr(options, f"{split}_share") for split in ("val", "test") if getattr(options, split) is None}
    if shares:
        drawn = " and ".join(f"{split} ({share:g})" for split, share in shares.items())
        notes.append(f"{drawn} drawn from the list of train with seed {options.seed}")
    notes += draw(table, found.is_there, shares, options.seed)
    where = table.pop("where").tolist()
    return make_listing("lists", raw, table, found.reasons, options.flip, notes, folders=found.folders, where=where)


def _unchanged(label: str, _: str) -> str:
    return label


def _read(raw: Path, given: str, options: argparse.Namespace, notes: list[str]) -> list[Row]:
    """The entries of one list; adds to `notes` how its lines are read, where that is not as usual."""
    pair = _PAIR.fullmatch(given)
    if pair is not None:
        return _read_pair(*(chosen_file(raw, Path(name)) for name in pair.groups()))
    file = chosen_file(raw, Path(given))
    if file.suffix.lower() == ".npy":
        raise InputError(f"{file} is one .npy file; give two as paths.npy,labels.npy")
    lines = without_header(read_lines(file))
    if not lines:
        raise InputError(f"{file} lists no videos; add lines")
    form = form_of(file, lines, raw, options.fields, options.separator)
    rows = []
    for number, line in lines:
        entry, where = parse(line, form), f"{file}, line {number}"
        if entry is None:
            raise InputError(
                f"{where}: '{line:.80}' is not of the form {form}, as other lines are; correct it, or "
                "set --fields or --separator"
            )
        if entry.start > 1:
            raise InputError(
                f"{where}: begins at frame {entry.start}, but videos are taken whole; cut them, or list each from 0"
            )
        rows.append(Row(entry.path, entry.label, where, entry.frames))
    if form.fields > 2:
        notes.append(
            f"lines of {file.name} are read as `{FORMS[form.fields]}`; videos are taken whole, files are counted anew"
        )
    return rows


def _read_pair(paths_file: Path, labels_file: Path) -> list[Row]:
    paths, labels = read_npy(paths_file), read_npy(labels_file)
    if len(paths) != len(labels):
        raise InputError(
            f"{paths_file} has {len(paths)} paths, {labels_file} {len(labels)} labels; they do not belong together"
        )
    if not paths:
        raise InputError(f"{paths_file} lists no videos; save it with entries")
    for number, path in enumerate(paths):
        if not path:
            raise InputError(f"{paths_file}, entry {number}: nothing in it; fill it in")
    return [
        Row(path, normal_label(label), f"{paths_file}, entry {n}")
        for n, (path, label) in enumerate(zip(paths, labels, strict=True))
    ]


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS


def _resolver(file: Path) -> Resolve:
    """Turns numbers into names, and names into their official spelling."""
    lines = read_lines(file)
    pairs = [line.partition(" ") for _, line in lines]
    if all(_is_number(number) and name.strip() for number, _, name in pairs):
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
        if not _is_number(label):
            return classes.resolve(label, where)
        if int(label) not in names:
            low, high = min(names), max(names)
            raise InputError(f"{where}: label {label} is not a class of {file}, which has {low} to {high}; correct it")
        return names[int(label)]

    return resolve
