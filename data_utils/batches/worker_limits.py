"""Checks what loader processes need of the system before they start: they would die silently, or midway.

Batches come through /dev/shm, of which a container may have little; the handles of their memory come through sockets in
a temporary folder, whose path may not be long.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import secrets
import shutil
import tempfile
from multiprocessing import util
from pathlib import Path

from config.data import DataConfig
from config.errors import InputError

SHARED = Path("/dev/shm")
_PER_WORKER = 2  # batches that torch's DataLoader asks a process for ahead
_LONGEST_FOLDER = 66  # bytes; a socket's path may have 107, of which the names below it take 41
_PREFIX = "socket_folders"  # a setting of a process
_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def require_shared_memory(data: DataConfig, batch_size: int, batches: int, second_window: bool) -> None:
    """Looks whether the batches that loader processes keep ready have room.

    Args:
        data: frame size, window and processes.
        batch_size: windows of a batch.
        batches: of an epoch: no more are ever there.
        second_window: windows come in twos.

    Raises:
        InputError: they have not.
    """
    if not data.num_workers:
        return
    height, width = data.read_size
    batch = batch_size * data.window.length * 3 * height * width * (2 if second_window else 1)
    ready = min(batches, _PER_WORKER * data.num_workers) + 1  # one is in use
    free = free_bytes(SHARED)
    if free is None or ready * batch <= free:
        return
    room = math.ceil(1.25 * ready * batch / 1e9)
    ways = [f"start the container with --shm-size={room}g"]
    if data.video_decoder != "opencv":
        ways.append("set num_workers=0")
    raise InputError(
        f"{SHARED} has {_megabytes(free)} free, but {data.num_workers} loader processes (num_workers) keep {ready} "
        f"batches of {_megabytes(batch)} there, {_megabytes(ready * batch)} in all; {', or '.join(ways)}, or a smaller "
        "batch_size"
    )


def free_bytes(folder: Path) -> int | None:
    """Free space of a disk for this user; None if there is no such folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def shorten_socket_paths() -> None:
    """Makes multiprocessing put its sockets into a folder with a short path, where that of TMPDIR is too long.

    Raises:
        InputError: there is no other folder that can be written.
    """
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) <= _LONGEST_FOLDER:
        return
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    known = settings.get("tempdir")
    if known is not None and len(os.fsencode(os.path.dirname(known))) <= _LONGEST_FOLDER:  # noqa: PTH120
        return
    for folder in _SHORT_FOLDERS:
        try:
            made = tempfile.mkdtemp(prefix="pymp-", dir=folder)
        except OSError:
            continue
        util.Finalize(None, shutil.rmtree, args=(made,), kwargs={"ignore_errors": True}, exitpriority=-100)
        settings["tempdir"] = made  # where multiprocessing's own get_temp_dir looks first; its processes inherit it
        return
    raise InputError(f"TMPDIR={usual} is too long a path for the sockets of loader processes; set TMPDIR=/tmp")


def remove_socket_folders_at_end() -> None:
    """Makes this process remove, when it ends, the folders of loader processes that were killed."""
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if _PREFIX not in settings:
        settings[_PREFIX] = f"pymp-{secrets.token_hex(4)}-"  # loader processes inherit it
        folders = (tempfile.gettempdir(), settings[_PREFIX])
        util.Finalize(None, _remove_socket_folders, args=folders, exitpriority=-100)


def own_socket_folder() -> None:
    """Gives this loader process a folder for its sockets, which it removes, or after a kill the one that started it.

    Each removes what the other one, killed, cannot; multiprocessing's own folders bear no name to find them by.
    """
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if settings.get("tempdir") is not None or _PREFIX not in settings:  # that of the process that started it
        return
    made = tempfile.mkdtemp(prefix=settings[_PREFIX])
    util.Finalize(None, shutil.rmtree, args=(made,), kwargs={"ignore_errors": True}, exitpriority=-100)
    settings["tempdir"] = made


def _remove_socket_folders(folder: str, prefix: str) -> None:
    for left in Path(folder).glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"
