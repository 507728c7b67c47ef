"""Reads `train.csv`, `val.csv` and `test.csv`, and refuses what would later be a riddle or a leak."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from config.errors import InputError

SPLITS = ("train", "val", "test")
_UNUSUAL = re.compile(r"(^|/)(\.{0,2})(/|$)")  # an empty, `.` or `..` component, or an absolute path


def read_catalog_files(folder: Path, root: Path, columns: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The tables of all splits as `read_csv` gives them, paths normalised.

    Args:
        folder: holds the CSV files.
        root: folder that the paths are relative to.
        columns: label columns that must be there, beside `path`.

    Raises:
        InputError: a folder or file is missing, empty or no CSV, a column is missing, a path leaves `root` or occurs
            twice.
    """
    for place, key in ((folder, "dataset.catalog (or dataset.root)"), (root, "dataset.root")):
        if not place.is_dir():
            raise InputError(f"{place} is no folder; set {key}")
    tables = {split: _read(folder / f"{split}.csv", columns) for split in SPLITS}
    seen: dict[str, str] = {}
    for split, table in tables.items():
        file = folder / f"{split}.csv"
        paths = [_normal(path, file, line) for line, path in table["path"].items()]
        for line, path in zip(table.index, paths, strict=True):
            if path in seen:
                raise InputError(
                    f"{file}, line {line}: {path} is in {seen[path]} already; keep one of the two: "
                    "what is trained on must not be tested on"
                )
            seen[path] = f"{split}.csv, line {line}"
        table["path"] = paths
    return tables


def _read(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_csv(file)
    missing = [column for column in ("path", *columns) if column not in table.columns]
    if missing:
        raise InputError(
            f"{file} has no column '{missing[0]}', only {', '.join(map(str, table.columns))}; "
            "add it" + (" or set dataset.labels" if missing[0] != "path" else "")
        )
    if table.empty:
        raise InputError(f"{file} lists no videos; add rows")
    return table


def read_csv(file: Path) -> pd.DataFrame:
    """A CSV with every cell as text; the index holds the line of the file that a row ends on.

    Raises:
        InputError: the file is missing, empty, no CSV, or not UTF-8.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines, strict=True)
            header = next((row for row in reader if row), [])
            rows = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError:
        raise InputError(f"{file} is missing; `prepare.py folder` makes train.csv, val.csv and test.csv") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}, is no CSV: {error}") from error
    if not header:
        raise InputError(f"{file} is empty; its first line must name the columns: path,label")
    if len(set(header)) < len(header):
        raise InputError(f"{file} names a column twice: {', '.join(header)}")
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{file}, line {line}: {len(row)} cells, but {len(header)} columns; put cells with commas in quotes"
            )
    return pd.DataFrame([row for _, row in rows], columns=header, index=[line for line, _ in rows])


def _normal(path: str, file: Path, line: object) -> str:
    """The path without `.` and doubled slashes, so that one video has one name."""
    if not path:
        raise InputError(f"{file}, line {line}: no path; fill it in")
    if not _UNUSUAL.search(path):
        return path
    normal = posixpath.normpath(path)
    if posixpath.isabs(path) or normal.split("/")[0] == ".." or normal == ".":
        raise InputError(f"{file}, line {line}: {path} is not inside dataset.root; make it relative to it")
    return normal
