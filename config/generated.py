"""Where configs go that the program writes, each of them a CONFIG that the launcher starts alone."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from config.errors import InputError
from config.files import CONFIG_FOLDER
from config.places import place

GENERATED = CONFIG_FOLDER / "generated"

logger = logging.getLogger(__name__)


def write_generated(name: str, text: str, save_path: str) -> Path:
    """Writes `config/generated/<name>.yaml`, or `<save_path>/generated/<name>.yaml` where the code cannot be written.

    A file of the same name is replaced.

    Args:
        name: of the file, without `.yaml`.
        text: its content.
        save_path: the config's.

    Returns:
        The path.

    Raises:
        InputError: neither folder can be written.
    """
    instead = place(save_path, "save_path") / "generated"
    try:
        return _write(GENERATED, name, text)
    except OSError as error:
        logger.info("%s cannot be written (%s): generated configs go to %s", GENERATED, error.strerror, instead)
    try:
        return _write(instead, name, text)
    except OSError as error:
        raise InputError(f"cannot write {instead / name}.yaml: {error.strerror or error}") from error


def _write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    half = folder / f".{name}.yaml.{os.getpid()}"
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(path)  # in one step: another start may be reading it
    finally:
        half.unlink(missing_ok=True)
    return path
