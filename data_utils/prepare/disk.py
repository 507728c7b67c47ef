"""Lists a download in one pass over its folders: asking for a million files one by one takes hours."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.errors import InputError

VIDEO_EXTENSIONS = (
    ".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265",
    ".hevc", ".ivf", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg",
    ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm",
    ".wmv", ".wtv", ".y4m",
)  # fmt: skip
HIDDEN = "hidden (its name begins with a dot)"


class Folder(NamedTuple):
    """A folder of a download, and what lies directly in it, in the order of the names."""

    path: str
    """Relative to the download; ends with a slash, empty for the download itself."""
    files: list[str]
    """Names; links count as what they point to."""
    skipped: list[tuple[str, str]]
    """(path, reason) of entries that are not looked into."""


def walk(
    root: Path, leave_out: Path | None = None, into: Callable[[str], bool] = lambda _: True, strict: bool = True
) -> Iterator[Folder]:
    """All folders of a download; every entry is in one of them, as a file, as a folder that follows, or skipped.

    Args:
        root: where to begin; folders behind links count, each once.
        leave_out: folder that is not looked into: what `prepare.py` writes is not part of the download.
        into: whether to go into a folder, by its path without a slash at the end.
        strict: False: folders that cannot be read are skipped.

    Raises:
        InputError: `root` cannot be read; where `strict`, any folder (but for a disk's own lost+found).
    """
    seen = {_identity(root): "."} | ({_identity(leave_out): ""} if leave_out and leave_out.exists() else {})
    todo = [""]
    while todo:
        path = todo.pop()
        folder = Folder(path, [], [])
        inner = []
        try:
            found = _scanned(root / path)
        except InputError as error:
            if not path or (strict and path != "lost+found/"):
                raise
            yield Folder(path, [], [(path, (getattr(error.__cause__, "strerror", "") or "cannot be read").lower())])
            continue
        for entry in found:
            name = f"{path}{entry.name}"
            if entry.name.startswith("."):
                folder.skipped.append((f"{name}/" if entry.is_dir(follow_symlinks=False) else name, HIDDEN))
            elif entry.is_dir():
                identity = _identity(Path(entry.path))
                first = seen.setdefault(identity, name)
                if first and first != name:
                    folder.skipped.append((f"{name}/", f"the same folder as {first}"))
                elif first and into(name):
                    inner.append(f"{name}/")
            elif entry.is_file() or not Path(entry.path).exists():  # a broken link is a file that cannot be read
                folder.files.append(entry.name)
            else:
                folder.skipped.append((name, "neither a file nor a folder"))
        yield folder
        todo += reversed(inner)


def files_below(root: Path, extensions: Sequence[str], leave_out: Path | None = None) -> list[str]:
    """Files of all folders below `root`, in the order of their names; hidden ones are left out.

    Args:
        root: where to begin; folders behind links count, each once.
        extensions: lower case; files may be written in any.
        leave_out: see `walk`.

    Returns:
        Paths relative to `root`.

    Raises:
        InputError: a folder cannot be read.
    """
    endings = tuple(extensions)
    return sorted(
        f"{folder.path}{name}"
        for folder in walk(root, leave_out)
        for name in folder.files
        if name.lower().endswith(endings)
    )


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
    """InputError where the name of a file is not UTF-8: no CSV could hold it."""
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


def _scanned(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name. InputError: it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; fix its permissions or the disk") from error


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))  # noqa: PTH208  names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; fix its permissions or the disk") from error


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; fix its permissions or the disk") from error
    return status.st_dev, status.st_ino
