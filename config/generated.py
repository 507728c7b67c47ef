"""Where programs write configs: curriculum stages and the runs of sweeps, each a CONFIG that the launcher starts."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

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
        InputError: the home folder in `save_path` is not known.
        OSError: neither folder can be written.
    """
    try:
        _try_to_write(GENERATED)
        return GENERATED
    except OSError as error:
        folder = place(save_path, "save_path") / "generated"
        _try_to_write(folder)
        logger.info("%s cannot be written (%s): generated configs go to %s", GENERATED, error.strerror, folder)
        return folder


def _try_to_write(folder: Path) -> None:
    """Makes the folder, and a file in it for a moment. OSError: that is not possible."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
