"""Lines of text lists: which form they have, found by which form names videos that the disk holds.

Repositories write `path label`, `path frames label` (TSN, TSM, Jester), `path start frames label` (VideoMAEv2) or the
path alone, with blanks, commas, tabs or semicolons between, and paths and labels may hold blanks themselves: only the
disk tells.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from config.errors import InputError
from data_utils.catalog.label_text import normal_label
from data_utils.prepare.annotation_files import path_inside

_MARK_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", None: "blanks"}
MARKS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": None}  # None: any number of blanks
FORMS = {2: "path label", 3: "path frames label", 4: "path start frames label", 1: "path"}
_DIGITS = 18  # of a number: longer ones are none of frames
_NO_LABEL = "-1"  # what lists without labels write in their place
_LOOKED_AT = 200  # lines that the form is found by
_PATH_COLUMNS = {"path", "paths", "file", "filename", "file_name", "video", "video_path", "name", "clip"}

Line = tuple[int, str]
"""Number and text."""


class Form(NamedTuple):
    """How a line is written."""

    fields: int
    mark: str | None
    label_has_blanks: bool = False
    """With blanks as separators: the label is all that follows the first one, not only what follows the last one."""

    def __str__(self) -> str:
        between = f" with {_MARK_NAMES[self.mark]} between" if self.fields > 1 else ""
        return f"`{FORMS[self.fields]}`{between}"


class Entry(NamedTuple):
    """The content of a line."""

    path: str
    label: str
    """Empty: it has none."""
    start: int
    frames: int
    """0: it does not say."""


def parse(line: str, form: Form) -> Entry | None:
    """Parses a line; None if it does not have the form."""
    fields = [field.strip() for field in _split(line, form)]
    if len(fields) != form.fields or not fields[0]:
        return None
    numbers = fields[1:-1]
    if not all(_is_number(number) for number in numbers):
        return None
    label = normal_label(_unquoted(fields[-1])) if len(fields) > 1 else ""
    return Entry(
        _unquoted(fields[0]),
        "" if numbers and label == _NO_LABEL else label,
        start=int(numbers[0]) if len(numbers) == 2 else 0,
        frames=max(0, int(numbers[-1])) if numbers else 0,
    )


def form_of(file: Path, lines: Sequence[Line], raw: Path, fields: int | None, mark: str) -> Form:
    """The form of a list's lines: as chosen, else the one by which most lines name what the disk holds.

    Args:
        file: the list, for messages.
        lines: all of it.
        raw: folder of the videos.
        fields: number of fields of a line; None: what fits.
        mark: a key of MARKS, or "auto".

    Raises:
        InputError: no form fits, or a line could mean two things.
    """
    forms = [
        Form(number, separator, has_blanks)
        for number in ([fields] if fields else FORMS)
        for separator in ([MARKS[mark]] if mark != "auto" else MARKS.values())
        for has_blanks in ((False, True) if separator is None and number == 2 else (False,))
    ]
    if len(forms) == 1:
        return forms[0]
    step = -(-len(lines) // _LOOKED_AT)
    sample = [line for _, line in lines[::step]]
    hits = {form: sum(_names_a_video(line, form, raw) for line in sample) for form in forms}
    best = max(forms, key=lambda form: hits[form])
    if not hits[best]:
        return _by_looks(file, lines, forms, raw)
    if fields is None and best.fields > 2:
        _refuse_several_labels(file, lines, best, raw)
    return best


def without_header(lines: list[Line]) -> list[Line]:
    """The lines without a first one that names columns: its first field is a word for path, its last one for label."""
    first = lines[0][1].lower()
    for mark in MARKS.values():
        names = [name.strip().strip('"') for name in first.split(mark)]
        if len(names) > 1 and names[0] in _PATH_COLUMNS and names[-1] in ("label", "labels", "class", "target"):
            return lines[1:]
    return lines


def _split(line: str, form: Form) -> list[str]:
    if form.label_has_blanks:
        return line.split(None, 1)
    return line.rsplit(form.mark, form.fields - 1)


def _names_a_video(line: str, form: Form, raw: Path) -> bool:
    entry = parse(line, form)
    if entry is None or (form.label_has_blanks and all(_is_number(word) for word in entry.label.split())):
        return False
    try:
        return os.path.lexists(raw / path_inside(entry.path, raw, ""))
    except InputError:  # reported when the line is read
        return False


def _by_looks(file: Path, lines: Sequence[Line], forms: Sequence[Form], raw: Path) -> Form:
    """Where the disk holds nothing of a list: the first form that all lines have, those that look alike first.

    Raises:
        InputError: there is none; it shows the line, and where its path was looked for.
    """
    for fits in (_looks_like_file, _label_is_number):
        for form in forms:
            entries = [parse(line, form) for _, line in lines]
            if all(entry is not None and fits(entry) for entry in entries):
                return form
    told = " or ".join(f"`{FORMS[number]}`" for number in dict.fromkeys(form.fields for form in forms))
    for number, line in lines:  # the line to blame: the first that fits none
        entries = [parse(line, form) for form in forms]
        if not any(entry is not None and entry.label for entry in entries):
            raise InputError(
                f"{file}, line {number}: '{line:.80}' is not of the form {told}; correct it, or set --separator"
            )
        if not any(entry is not None and (_label_is_number(entry) or _looks_like_file(entry)) for entry in entries):
            path = next(entry.path for entry in entries if entry is not None)
            raise InputError(
                f"{file}, line {number}: '{line:.80}' is not of the form {told}, or its video is missing: there is "
                f"no {raw / path}; set --raw to the folder that the paths begin in, or --separator and --fields"
            )
    raise InputError(f"{file}: lines differ in what stands between path and label; set --separator")


def _looks_like_file(entry: Entry) -> bool:
    extension = entry.path.rpartition("/")[2].rpartition(".")[2]
    return 2 <= len(extension) <= 5 and extension.isalnum() and extension != entry.path


def _label_is_number(entry: Entry) -> bool:
    return entry.label.isdecimal()


def _refuse_several_labels(file: Path, lines: Sequence[Line], form: Form, raw: Path) -> None:
    """InputError where numbers between path and label may be labels themselves: of a file, nobody counts frames."""
    for number, line in lines:
        entry = parse(line, form)
        if entry is None or (raw / entry.path).is_dir():
            continue
        if form.fields == 4 and entry.start in (0, 1):
            continue
        if form.fields == 3 and not entry.label:
            continue
        raise InputError(
            f"{file}, line {number}: '{line:.80}' has {form.fields - 1} numbers behind its path; give --fields "
            f"{form.fields} where they are `{FORMS[form.fields].removeprefix('path ')}`; several labels of one video "
            "are not read, so keep one of them"
        )


def _is_number(field: str) -> bool:
    return field.removeprefix("-").isdecimal() and len(field) <= _DIGITS


def _unquoted(field: str) -> str:
    """A field without the quotes that CSV writers put around it."""
    quoted = len(field) > 1 and field[0] == field[-1] == '"'
    return field[1:-1].replace('""', '"') if quoted else field
