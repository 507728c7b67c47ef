"""What a download holds, found with one pass over its folders: asking for a million files one by one takes hours."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import InputError

# fmt: off
VIDEO_EXTENSIONS = (
    ".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"
)
# fmt: on
IMAGE_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def files_below(root: Path, extensions: Sequence[str], leave_out: Path | None = None) -> list[str]:
    """Files of all folders below `root`, in the order of their names; hidden ones are left out.

    Args:
        root: where to begin; folders behind links count, each once.
        extensions: lower case; files may be written in any.
        leave_out: folder that is not looked into: what `prepare.py` writes is no part of the download.

    Returns:
        Paths relative to `root`.

    Raises:
        InputError: a folder cannot be read.
    """
    endings = tuple(extensions)
    found: list[str] = []
    seen = {_identity(root)} | ({_identity(leave_out)} if leave_out is not None and leave_out.exists() else set())
    todo = [""]
    while todo:
        folder = todo.pop()
        for entry in entries(root / folder):
            path = f"{folder}{entry.name}"
            if entry.is_dir():
                identity = _identity(Path(entry.path))
                if identity not in seen:
                    seen.add(identity)
                    todo.append(f"{path}/")
            elif path.lower().endswith(endings):
                found.append(path)
    return sorted(found)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, hidden entries left out, in the order of the names. InputError where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; mend its rights or its disk") from error


def missing(raw: Path, paths: Sequence[str]) -> NDArray[np.bool_]:
    """Which of the paths (relative to `raw`) the disk does not hold. InputError where a folder cannot be read."""
    folders: dict[str, set[str]] = {}
    gone = np.zeros(len(paths), np.bool_)
    for row, path in enumerate(paths):
        folder, name = posixpath.split(path)
        if folder not in folders:
            folders[folder] = _names(raw / folder)
        gone[row] = name not in folders[folder]
    return gone


def refuse_bytes(root: Path, paths: Iterable[str]) -> None:
    """InputError where the name of a file is no UTF-8: no CSV could hold it."""
    for path in paths:
        if not is_text(path):
            raise InputError(f"{root / ascii(path)}: a file name must be UTF-8; rename it")


def is_text(value: str) -> bool:
    """Whether a file could hold `value` as UTF-8: the surrogates that stand for other bytes could not be written."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208  names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; mend its rights or its disk") from error


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; mend its rights or its disk") from error
    return status.st_dev, status.st_ino
