"""Lists and tables that come with a download, read so that any error in one is reported in one line."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from config.errors import InputError
from data_utils.catalog.catalog_file import read_csv
from data_utils.prepare.disk import is_text


def read_text(file: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        InputError: it is missing, unreadable or not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{file} is missing; say where it is, or put it there") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text; save it as UTF-8") from None


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a text file that hold something, with their numbers, without blanks around them.

    Raises:
        InputError: it cannot be read, or holds nothing.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_text(file).split("\n"), 1) if line.strip()]
    if not lines:
        raise InputError(f"{file} is empty; fill it in")
    return lines


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, or is not valid JSON.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}, is not valid JSON: {error.msg}; download it again") from None
    except RecursionError:
        raise InputError(f"{file} is not a list or table, but nested deeply; download it again") from None


def read_table(file: Path, columns: Sequence[str] = ()) -> Any:
    """A CSV with every cell as text, as `catalog_file.read_csv`; `columns` must be there.

    Raises:
        InputError: it cannot be read, a column is missing, or there are no rows.
    """
    if not file.is_file():
        raise InputError(f"{file} is missing; say where it is, or put it there")
    table = read_csv(file)
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{file} has no column '{column}', only {', '.join(table.columns)}")
    if table.empty:
        raise InputError(f"{file} lists nothing; add rows")
    return table


def raw_folder(raw: Path) -> Path:
    """`raw`, which must be a folder; InputError otherwise."""
    if not raw.is_dir():
        raise InputError(f"{raw} is not a folder; set --raw")
    return raw


def chosen_folder(raw: Path, given: Path | None, usual: Iterable[str], option: str) -> Path:
    """The folder that an option names, below `raw` or anywhere; without it the first of the usual ones, or `raw`.

    Raises:
        InputError: `given` is not a folder.
    """
    if given is not None:
        for folder in (raw / given, given):
            if folder.is_dir():
                return folder
        raise InputError(f"{raw / given} is not a folder; set {option}")
    return next((raw / name for name in usual if (raw / name).is_dir()), raw)


def chosen_file(raw: Path, given: Path) -> Path:
    """The file that an option names: below `raw` where it is there, else as given."""
    return raw / given if (raw / given).is_file() else given


def path_inside(path: str, raw: Path, where: str) -> str:
    """A path of a list, relative to `raw` and without `.` and doubled slashes, so that a video has one name.

    Backslashes, as Windows writes them, become slashes, and blanks around it are left out, unless the disk holds a file
    of that very name.

    Args:
        path: relative to `raw`, or absolute and below it.
        raw: folder of the videos.
        where: file and line that it stands in, for the message.

    Raises:
        InputError: there is no path, no file can have it, or it leaves `raw`.
    """
    if not path:
        raise InputError(f"{where}: no path; fill it in")
    if "\0" in path or not is_text(path):
        raise InputError(f"{where}: {path!a} is not a path, as no name of a file holds such characters; correct it")
    if path != path.strip() and not os.path.lexists(raw / path):
        path = path.strip()
    if "\\" in path and not os.path.lexists(raw / path):
        path = path.replace("\\", "/")
    normal = posixpath.normpath(path)
    if posixpath.isabs(normal):
        for root in (os.path.abspath(raw), os.path.realpath(raw)):  # noqa: PTH100  Path.resolve would leave `raw`
            inside = posixpath.relpath(normal, root)
            if not inside.startswith(".."):
                normal = inside
                break
    if posixpath.isabs(normal) or normal.split("/")[0] == ".." or normal == ".":
        raise InputError(f"{where}: {path} is not inside {raw}; set --raw to the folder that holds all videos")
    return normal
