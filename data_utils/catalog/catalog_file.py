"""Reads `train.csv`, `val.csv` and `test.csv`; rejects files that would cause obscure errors or leak test videos.

A million rows must not take half a minute: columns are checked as a whole, and only where something is wrong is the
file gone through row by row, for the line that the message names.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import posixpath
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError

SPLITS = ("train", "val", "test")
_QUOTED_AFTER_BLANK = re.compile(r'[ \t]+"')
_UNUSUAL = re.compile(r"(^|/)(\.{0,2})(/|$)")  # an empty, `.` or `..` component, or an absolute path


def read_catalog_files(
    folder: Path, root: Path, optional: Collection[str] = (), splits: Sequence[str] = SPLITS
) -> dict[str, pd.DataFrame]:
    """The tables of all splits as `read_csv` gives them; `path` and, where there is one, `stored` normalised.

    Args:
        folder: holds the CSV files.
        root: folder that the paths are relative to.
        optional: splits whose file may be missing; then they have no table.
        splits: to read.

    Raises:
        InputError: a folder or file is missing, empty or no CSV, has no column `path`, or a path leaves `root` or
            occurs twice.
    """
    _require_folder(folder, "dataset.catalog (or dataset.root)")
    _require_folder(root, "dataset.root")
    files = {split: folder / f"{split}.csv" for split in splits}
    tables = {split: _read(file) for split, file in files.items() if split not in optional or os.path.lexists(file)}
    for column in ("path", "stored"):
        for split, table in tables.items():
            if column in table:
                normalise_paths(table, column, folder / f"{split}.csv")
        _refuse_twice({split: table for split, table in tables.items() if column in table}, column, folder)
    return tables


def _require_folder(place: Path, key: str) -> None:
    try:
        folder = stat.S_ISDIR(place.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        folder = False
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror}; fix its permissions, or set {key}") from error
    if not folder:
        raise InputError(f"{place} is not a folder; set {key}")


def require_columns(tables: Mapping[str, pd.DataFrame], folder: Path, columns: Sequence[str]) -> None:
    """InputError where a split lacks one of the columns."""
    for split, table in tables.items():
        for column in columns:
            if column not in table.columns:
                raise InputError(f"{_lacks(folder / f'{split}.csv', column, table)} or set dataset.labels")


def _lacks(file: Path, column: str, table: pd.DataFrame) -> str:
    return f"{file} has no column '{column}', only {', '.join(map(str, table.columns))}; add it"


def _read(file: Path) -> pd.DataFrame:
    table = read_csv(file)
    if "path" not in table.columns:
        raise InputError(_lacks(file, "path", table))
    if table.empty:
        raise InputError(f"{file} lists no videos; add rows")
    return table


def read_csv(file: Path) -> pd.DataFrame:
    """A CSV with every cell as text; the index holds the line of the file that a row ends on.

    Columns are named without blanks around; where the first line holds no comma, semicolons or tabs separate cells.

    Raises:
        InputError: the file is missing, empty, no CSV, or not UTF-8.
    """
    try:
        content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        raise InputError(f"{file} is missing; `prepare.py folder` makes train.csv, val.csv and test.csv") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    delimiter = _delimiter(content)
    table = _read_plain(content) if delimiter == "," else None
    return _read_strictly(content, file, delimiter) if table is None else table


def _delimiter(content: bytes) -> str:
    """The delimiter of a CSV, judged by its first line that is not empty."""
    header = content.lstrip(b"\r\n").partition(b"\n")[0]
    return next((mark.decode() for mark in (b",", b";", b"\t") if mark in header), ",")


def _read_plain(content: bytes) -> pd.DataFrame | None:
    """The table where every line is a row with as many cells as the header; None where a closer look is needed."""
    if not content.endswith(b"\n"):
        content += b"\n"
    if b"\0" in content or content.count(b"\r") != content.count(b"\r\n"):
        return None
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
    try:
        header = next(csv.reader([content[: ends[0]].decode()], strict=True), [])
        if len(header) < 2 or not _is_rectangular(content, ends, len(header)):
            return None
        table = pd.read_csv(io.BytesIO(content), dtype=str, na_filter=False, skip_blank_lines=False, engine="c")
    except (ValueError, csv.Error):  # pandas's own errors are ValueErrors as well
        return None
    if len(table) != len(ends) - 1 or list(table.columns) != header:
        return None  # a cell with a line break, or two columns of one name
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        return None
    table.columns = pd.Index(names)
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table


def _is_rectangular(content: bytes, ends: NDArray[np.intp], columns: int) -> bool:
    """Whether every line has as many cells, none of them too large for `csv`, and quotes around whole cells only.

    pandas would fill up rows that are too short, and says nothing of some that are too long.
    """
    starts = np.concatenate([[-1], ends[:-1]])
    if (ends - starts).max() > csv.field_size_limit():
        return False
    letters = np.frombuffer(content, np.uint8)
    commas = np.flatnonzero(letters == ord(","))
    if b'"' in content:
        quotes = np.flatnonzero(letters == ord('"'))  # a doubled one closes and opens
        before, after = letters[quotes[::2] - 1], letters[quotes[1::2] + 1]  # the letter before the first is a \n
        if len(quotes) % 2 or not (np.isin(before, list(b'\n,"')).all() and np.isin(after, list(b'\r\n,"')).all()):
            return False
        commas = commas[np.searchsorted(quotes, commas) % 2 == 0]
    if len(commas) != len(ends) * (columns - 1):
        return False
    of_line = commas.reshape(len(ends), columns - 1)
    return bool((of_line[:, 0] > starts).all() and (of_line[:, -1] < ends).all())


def _read_strictly(content: bytes, file: Path, delimiter: str) -> pd.DataFrame:
    """Row by row, for what `_read_plain` leaves: cells with line breaks, blank lines, and the line of an error."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}, line {line}, is not UTF-8 text; save it as UTF-8") from None
    rows = _rows(text, file, delimiter)
    if any(_QUOTED_AFTER_BLANK.match(cell) for _, row in rows for cell in row):  # `walk, "run, fast"`
        rows = _rows(text, file, delimiter, skipinitialspace=True)
    header = [name.strip() for name in rows.pop(0)[1]] if rows else []
    if not header:
        raise InputError(f"{file} is empty; its first line must name the columns: path,label")
    if len(set(header)) < len(header):
        raise InputError(f"{file} names a column twice: {', '.join(header)}")
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{file}, line {line}: {len(row)} cells, but {len(header)} columns; put cells with commas in quotes"
            )
    return pd.DataFrame([row for _, row in rows], columns=header, index=[line for line, _ in rows], dtype=str)


def _rows(text: str, file: Path, delimiter: str, skipinitialspace: bool = False) -> list[tuple[int, list[str]]]:
    """The rows that hold something, with the line that each ends on. InputError: it is not valid CSV."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=skipinitialspace)
    try:
        return [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}, is not valid CSV: {error}") from error


def normalise_paths(table: pd.DataFrame, column: str, file: Path) -> None:
    """Takes `.` and doubled slashes out of the paths, so that one video has one name.

    Raises:
        InputError: there is none, or it leaves the folder that it is relative to.
    """
    paths = table[column].tolist()
    together = "/".join(["", *paths, ""])
    if any(unusual in together for unusual in ("//", "/./", "/../", "\0")):
        table[column] = [
            _normal(path, f"{file}, line {line}", column) for line, path in zip(table.index, paths, strict=True)
        ]


def _normal(path: str, place: str, column: str) -> str:
    if not path:
        raise InputError(f"{place}: nothing in column '{column}'; fill it in")
    if "\0" in path:
        raise InputError(f"{place}: {path!r} holds a null byte, which no file's name can; take it out")
    if not _UNUSUAL.search(path):
        return path
    normal = posixpath.normpath(path)
    if posixpath.isabs(path) or normal.split("/")[0] == ".." or normal == ".":
        raise InputError(f"{place}: {path} is not inside dataset.root; make it relative to it")
    return normal


def _refuse_twice(tables: Mapping[str, pd.DataFrame], column: str, folder: Path) -> None:
    paths = list(chain.from_iterable(table[column].tolist() for table in tables.values()))
    if len(set(paths)) == len(paths):
        return
    seen: dict[str, str] = {}
    for split, table in tables.items():
        for line, path in table[column].items():
            if path in seen:
                raise InputError(
                    f"{folder / split}.csv, line {line}: {path} is in {seen[path]} already; keep one of the two: "
                    "what is trained on must not be tested on"
                )
            seen[path] = f"{split}.csv, line {line}"
