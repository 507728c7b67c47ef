"""Where configs go that the program writes, each of them a CONFIG that the launcher starts alone."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from config.errors import InputError
from config.files import CONFIG_FOLDER
from config.places import place

logger = logging.getLogger(__name__)

GENERATED = CONFIG_FOLDER / "generated"


def generated_folder(save_path: str | Path) -> Path:
    """The folder of generated configs, which is made where it is missing: `config/generated/`.

    Where the program's own folder cannot be written (mounted read-only, another user's), it is
    `<save_path>/generated/`, and the log says so.

    Args:
        save_path: of the config.

    Raises:
        InputError: neither folder can be written.
    """
    try:
        _try_to_write(GENERATED)
        return GENERATED
    except OSError as error:
        instead = place(save_path, "save_path") / "generated"
        logger.info("%s cannot be written (%s): generated configs go to %s", GENERATED, error.strerror, instead)
    try:
        _try_to_write(instead)
    except OSError as error:
        raise InputError(f"cannot write to {instead}: {error.strerror or error}; choose another save_path") from error
    return instead


def write_generated(name: str, text: str, save_path: str | Path) -> Path:
    """Writes `<name>.yaml` into `generated_folder`; a file of that name is replaced.

    Args:
        name: of the file, without `.yaml`; may have folders in it.
        text: its content.
        save_path: of the config.

    Returns:
        Its path.

    Raises:
        InputError: it cannot be written.
    """
    path = generated_folder(save_path) / f"{name}.yaml"
    write_config(path, text)
    return path


def write_config(path: Path, text: str) -> None:
    """Writes a config file in one step, since another start may be reading it. InputError: that is not possible."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _try_to_write(folder: Path) -> None:
    """Makes the folder, and a file in it for a moment. OSError: that is not possible."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
