from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing import util
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from config.errors import InputError
from config.schema import Config
from data_utils.batches import worker_limits
from data_utils.batches.loader import Loader
from data_utils.batches.opening import open_catalogs
from data_utils.batches.worker_limits import free_bytes, require_shared_memory, shorten_socket_paths

LARGE = ("frame_size=[224,224]", "patch_size=16", "batch_size=64", "window.length=8", "frames_per_clip=4")


@pytest.fixture
def long_tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TMPDIR with a path of 120 bytes, and no socket folder from before."""
    folder = tmp_path / ("x" * (119 - len(str(tmp_path))))
    folder.mkdir()
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = settings.pop("tempdir", None)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    settings.pop("tempdir", None)
    if before is not None:
        settings["tempdir"] = before


def test_workers_start_where_tmpdir_is_a_long_path(
    long_tmpdir: Path, small_dataset: Path, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_config(small_dataset, "num_workers=2", "batch_size=2")
    catalog = open_catalogs(config, config.groups, tmp_path / "bad.csv")["train"]
    with closing(Loader(catalog, config, config.batch_size, config.seed, training=True)) as loader:
        batches = list(loader.epoch(0))
    assert sum(len(batch.row_B) for batch in batches) == 2 * len(loader)
    assert len(util.get_temp_dir()) < 76
    assert not list(long_tmpdir.glob("pymp-*"))


def test_no_short_folder_is_told(long_tmpdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_limits, "_SHORT_FOLDERS", (str(long_tmpdir / "missing"),))
    with pytest.raises(InputError, match=r"TMPDIR=.* is too long a path .* set TMPDIR=/tmp"):
        shorten_socket_paths()


def test_a_short_tmpdir_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    shorten_socket_paths()
    assert tempfile.gettempdir() == "/tmp"


def test_too_little_shared_memory_is_told(
    tmp_path: Path, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path, *LARGE, "num_workers=2")
    monkeypatch.setattr(worker_limits, "free_bytes", lambda folder: 64_000_000)
    with pytest.raises(InputError) as error:
        require_shared_memory(config, config.batch_size, 100, second_window=False)
    assert str(error.value) == (
        "/dev/shm has 64 MB free, but 2 loader processes (num_workers) keep 5 batches of 77 MB there, 385 MB in all; "
        "start the container with --shm-size=1g, or set num_workers=0, or a smaller batch_size"
    )
    with pytest.raises(InputError, match="keep 2 batches of 154 MB there"):
        require_shared_memory(config, config.batch_size, 1, second_window=True)
    many = make_config(tmp_path, *LARGE, "num_workers=9", "video_decoder=opencv")
    with pytest.raises(InputError) as error:
        require_shared_memory(many, many.batch_size, 100, False)
    assert "keep 19 batches" in str(error.value)
    assert "--shm-size=2g" in str(error.value)
    assert "num_workers=0" not in str(error.value)
    for free, workers in ((400_000_000, 2), (0, 0)):
        monkeypatch.setattr(worker_limits, "free_bytes", lambda folder, free=free: free)
        config = make_config(tmp_path, *LARGE, f"num_workers={workers}")
        require_shared_memory(config, config.batch_size, 100, second_window=False)


def test_what_is_free(tmp_path: Path) -> None:
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "missing") is None


SOCKETS = """
import os, signal, sys, time
from torch.utils.data import DataLoader
from multiprocessing import util
from data_utils.batches.worker_limits import own_socket_folder, remove_socket_folders_at_end

class Items:
    def __len__(self): return 4
    def __getitem__(self, index):
        util.get_temp_dir()
        if index == 2: os.kill(os.getpid() if sys.argv[1] == "worker" else os.getppid(), signal.SIGKILL)
        return index

remove_socket_folders_at_end()
list(DataLoader(Items(), num_workers=1, worker_init_fn=lambda number: own_socket_folder()))
"""


@pytest.mark.parametrize("killed", ["worker", "program"])
def test_whichever_process_is_killed_no_folder_of_sockets_stays(tmp_path: Path, killed: str) -> None:
    with TemporaryDirectory(dir="/tmp") as folder:  # `tmp_path` is too long for sockets
        done = subprocess.run(
            [sys.executable, "-c", SOCKETS, killed],
            cwd=Path(__file__).parents[3],
            env=os.environ | {"TMPDIR": folder, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (1 if killed == "worker" else -signal.SIGKILL), done.stderr
        until = time.monotonic() + 60  # a loader process looks every few seconds whether its program lives
        while (left := [path.name for path in Path(folder).glob("pymp-*")]) and time.monotonic() < until:
            time.sleep(0.2)
        assert not left
