"""A folder that is either there with all that belongs into it, or not at all, however its making ends.

A process that was killed leaves its unfinished folder; the next start knows by its lock that nobody works on it, and
removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
_OF_THE_DISK = {"lost+found"}


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what belongs to its disk, or what a killed process has left."""
    return all(entry.name in _OF_THE_DISK or entry.name.startswith(_UNFINISHED) for entry in folder.iterdir())


@contextmanager
def whole_folder(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """A folder to fill, whose content is that of `root` when the block has ended; nothing of it is left after an error.

    Args:
        root: does not exist, or is an empty folder: perhaps one that cannot be replaced, as a disk is mounted there.
        parts: what the block will make, the last one being what tells that all of it is there.

    Raises:
        OSError: it cannot be written, or another process has made `root` meanwhile.
    """
    root = root.resolve()
    inside = root.is_dir()
    unfinished = root / f"{_UNFINISHED}{os.getpid()}" if inside else _beside(root, os.getpid())
    remove_unfinished(root, parts)
    with ExitStack() as locks:
        if inside:  # one process at a time: parts of two must not be mixed up
            locks.enter_context(_locked(root, os.O_RDONLY))
            if (root / parts[-1]).exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(root))
        unfinished.mkdir(parents=True)
        locks.enter_context(_locked(unfinished / _LOCK, os.O_RDWR | os.O_CREAT))
        locks.callback(shutil.rmtree, unfinished, ignore_errors=True)
        yield unfinished
        if inside:
            for part in parts:
                (unfinished / part).rename(root / part)
        else:
            (unfinished / _LOCK).unlink()
            unfinished.rename(root)


def remove_unfinished(root: Path, parts: tuple[str, ...]) -> None:
    """Removes what killed processes have left of `root`, beside it or in it.

    Args:
        root: the folder that they were making.
        parts: see `whole_folder`; those that lie in `root` already, without the last one, are removed with the rest.
    """
    root = root.resolve()
    left = [*root.parent.glob(f"{_escaped(root.name)}{_UNFINISHED}*")] if root.parent.is_dir() else []
    for folder in left:
        if _is_dead(folder):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in root.glob(f"{_UNFINISHED}*") if root.is_dir() else []:
        if not _is_dead(folder):
            continue
        if not (root / parts[-1]).exists():
            for part in parts:
                _remove(root / part)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(place: Path, flags: int) -> Iterator[None]:
    """This process alone is in the block; where the disk knows no locks, every one is."""
    descriptor = os.open(place, flags | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _beside(root: Path, process: int) -> Path:
    return root.with_name(f"{root.name}{_UNFINISHED}{process}")


def _is_dead(folder: Path) -> bool:
    """Whether nobody works on an unfinished folder: its lock is free; without a lock, its process is gone."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        process = re.search(r"(\d+)$", folder.name)
        return process is not None and not psutil.pid_exists(int(process[1]))
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    """A name for `glob`, in which it stands for itself."""
    return re.sub(r"([\[?*])", r"[\1]", name)
