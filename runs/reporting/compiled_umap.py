"""UMAP compiles itself when it is first used, for up to a minute: here while the model trains, and once per machine.

umap-learn is compiled by numba, which can keep machine code for later processes, but does so only for some of its
functions. `load_umap` has all of it kept; `compiling_umap` fills that store in a process that takes only what time the
training leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

_REPOSITORY = Path(__file__).resolve().parents[2]


def load_umap() -> Any:
    """The class `umap.UMAP`, whose machine code is kept for later processes where numba finds a folder for it."""
    import umap  # late: it takes seconds
    import umap.distances
    import umap.layouts
    import umap.spectral
    import umap.umap_
    import umap.utils
    from numba.core.dispatcher import Dispatcher

    for module in (umap.distances, umap.layouts, umap.spectral, umap.umap_, umap.utils):
        for function in vars(module).values():
            if isinstance(function, Dispatcher) and function.py_func.__module__ == module.__name__:
                with suppress(RuntimeError):  # no folder can be written: it is compiled anew
                    function.enable_caching()
    return umap.UMAP


@contextmanager
def compiling_umap(wanted: bool) -> Iterator[None]:
    """Inside, a process of the lowest priority compiles UMAP; it ends with the block, what it has compiled is kept."""
    process = _start() if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _start() -> subprocess.Popen[bytes] | None:
    """The process; None where none can be started: then UMAP compiles when it is drawn."""
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-m", "runs.reporting.compiled_umap"],
            cwd=_REPOSITORY,
            env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C on the terminal is the main process's to handle
        )
    return None


def compile_umap() -> None:
    """Embeds a few points, which compiles all that an embedding needs."""
    points = np.random.default_rng(0).normal(size=(32, 8))
    load_umap()(n_neighbors=5, init="pca", n_epochs=2, random_state=0, n_jobs=1).fit_transform(points)


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, 19)  # the lowest, whatever the run's own is
    compile_umap()
