"""A process killed, or a disk filled, in the middle of a write leaves half a file where a whole one stood.

Whatever must survive that is written beside its place, forced to the disk, and moved there in one step: readers see
the old file or the new one, never a part.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from config.errors import InputError


class UnwritableError(InputError):
    """A file could not be written; the one before it is as it was."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Give a binary file that becomes `path` when the block ends, and vanishes when the block fails.

    Args:
        path: the file to write or to replace; its folder must exist.

    Raises:
        UnwritableError: the file cannot be written (disk full, no permission, no folder); `path` is as it was.
    """
    try:
        with replaced_file(path) as file:
            yield file
    except BaseException as error:
        cause = _os_error(error)
        if cause is None:
            raise
        reason = cause.strerror or cause
        raise UnwritableError(f"cannot write {path}: {reason}; free the disk or choose another save_path") from error


@contextmanager
def replaced_file(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Like `atomic_write`, but every error is raised as it is.

    `durable=False` is quicker: the file may be lost, or cut off, when the power fails.
    """
    # One fixed name: what a killed process left behind is removed by the next write instead of piling up.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # a new file: nothing is written through a link that lies there
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically. Raises InputError as `atomic_write` does.

    Bytes of file names that are not UTF-8, which Python keeps as lone surrogates, are written as escapes.
    """
    with atomic_write(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `plain(value)` as indented JSON, atomically. Raises InputError as `atomic_write` does."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """The value for JSON: NumPy and torch scalars as Python's, floats to 6 significant digits, NaN and inf as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if hasattr(value, "item"):
        return plain(value.item())
    return value


def sync_folder(folder: Path) -> None:
    """Force the folder's entries to the disk, so that a power cut does not undo the move."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _os_error(error: BaseException) -> OSError | None:
    """The OSError behind `error`, if any."""
    if isinstance(error, OSError):
        return error
    # torch.save wraps the error of a full disk into a RuntimeError of its own.
    wrapped = error.__context__ if isinstance(error, RuntimeError) else None
    return wrapped if isinstance(wrapped, OSError) else None
