"""Paths and names of a config as places on the disk: `~/runs` lies in the home folder, and no folder is called `~`."""

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


def check_run_name(name: str) -> None:
    """Raises InputError where a run's name cannot name its folder, or its log: it must be one path component."""
    if not name.strip() or name in (".", "..") or any(char in "/\\" or not char.isprintable() for char in name):
        raise InputError(f"model_name: {name!r} cannot name a folder; use letters, digits, '-', '_' and '.'")
