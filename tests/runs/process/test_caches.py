"""Libraries find a place for what they keep, whoever starts the program."""

from __future__ import annotations

import atexit
import getpass
import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runs.process import caches
from runs.process.caches import give_caches_a_place

REPOSITORY = Path(__file__).parents[3]
FOLDERS = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")

# What a run does with the libraries that keep something: draws, and compiles with numba.
USE = """
import json, os, sys, warnings
from runs.process.caches import give_caches_a_place
give_caches_a_place()
warnings.simplefilter("error")
import matplotlib.font_manager
import numba
@numba.njit(cache=True)
def double(x):
    return 2 * x
double(1)
import torch._inductor.runtime.cache_dir_utils as torch_caches
places = [matplotlib.get_cachedir(), double.stats.cache_path, torch_caches.cache_dir()]
print(json.dumps(places))
"""


def test_without_a_home_folder_libraries_work_and_leave_nothing_behind(tmp_path: Path, bound_by_rights: None) -> None:
    program = tmp_path / "program.py"
    program.write_text(USE)
    program.chmod(0o444)
    tmp_path.chmod(0o555)  # numba would keep its machine code beside the program
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", *FOLDERS)}
    environment |= {"HOME": "/dev/null", "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(program)], cwd="/", env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    places = [Path(place) for place in json.loads(done.stdout)]
    (folder,) = {next(parent for parent in place.parents if "caches-" in parent.name) for place in places}
    assert not folder.exists()


def test_a_home_folder_that_can_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody")  # the tests may be run as a user without a name
    for variable in FOLDERS:
        monkeypatch.delenv(variable, raising=False)
    before = dict(os.environ)
    give_caches_a_place()
    assert dict(os.environ) == before


def test_places_that_were_given_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound_by_rights: None) -> None:
    monkeypatch.setattr(caches, "_can_write_at_home", lambda: False)
    monkeypatch.setattr(atexit, "register", lambda *_, **__: None)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    for variable in FOLDERS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    give_caches_a_place()
    assert os.environ["MPLCONFIGDIR"] == "/mine"
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "numba_cache_dir")


def test_a_user_without_a_name_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "")  # so that it is taken away again afterwards
        monkeypatch.delenv(variable)
    give_caches_a_place()
    assert getpass.getuser() == str(os.getuid())
