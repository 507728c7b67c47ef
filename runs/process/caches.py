"""Without a home folder and a user's name, as in `docker run --user 1234`, libraries fail or fill the terminal.

matplotlib, numba (for UMAP) and torch keep what they make in the home folder. numba fails where it cannot write there,
torch where it does not find the user's name, and matplotlib warns.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_FOLDERS = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python's getpass looks


def give_caches_a_place() -> None:
    """Call it before the libraries are imported. A machine with a home folder that can be written stays as it is."""
    if not any(os.environ.get(name) for name in _NAMES):
        try:
            pwd.getpwuid(os.getuid())
        except KeyError:
            os.environ["LOGNAME"] = str(os.getuid())
    if _can_write_at_home():
        return
    folder = tempfile.mkdtemp(prefix="video-transformer-caches-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable in _FOLDERS:
        if not os.environ.get(variable):
            os.environ[variable] = str(Path(folder) / variable.lower())


def _can_write_at_home() -> bool:
    """Whether the folder of caches is there, or can be made, and takes a file."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    return False
