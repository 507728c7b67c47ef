"""The machine code of UMAP: compiled beside the training, found again by the next process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from runs.reporting.compiled_umap import compiling_umap

REPOSITORY = Path(__file__).parents[3]

# Prints which of UMAP's functions an embedding had to compile.
EMBED = """
import json
import numpy as np
from numba.core import event
from runs.reporting.compiled_umap import load_umap

umap = load_umap()
heard = event.RecordingListener()
event.register("numba:compile", heard)
points = np.random.default_rng(1).normal(size=(60, 50))
umap(n_neighbors=15, init="pca", n_epochs=200, random_state=0, n_jobs=1).fit_transform(points)
functions = {recorded.data["dispatcher"].py_func for _, recorded in heard.buffer}
print(json.dumps(sorted(f.__name__ for f in functions if f.__module__.startswith("umap"))))
"""


def run(program: str, cache: Path) -> str:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_what_the_background_process_compiles_is_not_compiled_again(tmp_path: Path) -> None:
    run("from runs.reporting.compiled_umap import compile_umap; compile_umap()", tmp_path)
    assert json.loads(run(EMBED, tmp_path)) == []
    for index in tmp_path.rglob("*smooth_knn_dist*.nbi"):
        index.unlink()
    assert json.loads(run(EMBED, tmp_path)) == ["smooth_knn_dist"]  # such a list is not always empty


def test_the_process_is_of_low_priority_and_ends_with_the_block() -> None:
    before = psutil.Process().children()
    with compiling_umap(True):
        (process,) = (p for p in psutil.Process().children() if p not in before)
        while process.nice() != 19:
            time.sleep(0.1)
    assert not process.is_running()


def test_nothing_is_started_where_umap_is_not_wanted() -> None:
    before = psutil.Process().children()
    with compiling_umap(False):
        assert all(child in before for child in psutil.Process().children())


def test_a_process_that_cannot_be_started_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    trained = False
    with compiling_umap(True):
        trained = True
    assert trained
