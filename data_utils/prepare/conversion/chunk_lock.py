"""A command that is started twice, or a cluster that still works for a stopped one, must not mix up a chunk."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def chunk_lock(file: Path, check_stopped: Callable[[], None]) -> Iterator[bool]:
    """One process (and one thread) at a time is in the block; where the disk knows no locks, every one is.

    Args:
        file: made for the time of the block, with its folder.
        check_stopped: called while another one is in the block; may raise.

    Yields:
        Whether another one was in the block before.
    """
    waited = False
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except FileNotFoundError:  # another one that is ready has removed the folder
            continue
        try:
            if not _locked(descriptor):
                waited = True
                check_stopped()
                time.sleep(_SECONDS_BETWEEN_TRIES)
                continue
            if not _is_at(descriptor, file):  # the one before has removed it
                waited = True
                continue
            try:
                yield waited
            finally:
                file.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _is_at(descriptor: int, file: Path) -> bool:
    with suppress(FileNotFoundError):
        return file.stat().st_ino == os.fstat(descriptor).st_ino
    return False
