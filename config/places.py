"""Paths of a config as places on the disk: `~/runs` lies in the home folder, and no folder is called `~`."""

from __future__ import annotations

from pathlib import Path

from config.errors import InputError


def place(given: str | Path, key: str) -> Path:
    """The path that a key names, with the home folder in place of `~` and `~user`.

    Raises:
        InputError: there is no such home folder.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise InputError(f"{key}: the home folder of {given} is not known here; write the whole path") from None
