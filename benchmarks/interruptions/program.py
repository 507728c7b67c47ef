"""main.py as a process that is interrupted at a moment, and that notes which windows it trains on."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import joblib


def note_order(file: Path) -> None:
    """Adds [epoch, batch, rows] to `file` for every batch that is trained on."""
    train: Any = importlib.import_module("train")
    make_views = train.make_views

    def noted(batch: Any, *others: Any) -> Any:
        with file.open("a", encoding="utf-8") as order:
            order.write(json.dumps([others[-1], batch.number, batch.row_B.tolist()]) + "\n")
        return make_views(batch, *others)

    train.make_views = noted


def run(moment: str, order: Path, arguments: Sequence[str]) -> int:
    """Runs main.py in this process.

    Args:
        moment: a name of `moments.py`; empty: nothing happens.
        order: see `note_order`.
        arguments: of main.py.

    Returns:
        Its exit status, where it comes so far.
    """
    sys.argv = ["main.py", *arguments]
    import main
    from benchmarks.interruptions.moments import MAKING, MOMENTS, set_trap

    note_order(order)
    if moment:
        set_trap(MOMENTS[moment])
    # A few small videos: processes that write them would take longer to start than the rest of the run takes.
    with nullcontext() if moment == MAKING else joblib.parallel_config(backend="sequential"):
        return main.main(arguments)


def fork(moment: str, order: Path, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Starts a process that has all imports behind it, which take longer than the run itself; returns its number.

    Args:
        moment: as for `run`.
        order: as for `run`.
        arguments: as for `run`.
        log: gets what it prints.
        environment: variables beside those of this process.
    """
    import main  # noqa: F401, before the fork

    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.environ.update(environment)
        import tempfile

        tempfile.tempdir = None  # looked up in this process already
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        status = run(moment, order, arguments)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        # As the end of the interpreter does: multiprocessing removes its files, and ends its processes.
        util: Any = importlib.import_module("multiprocessing.util")
        util._exit_function()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(run("", Path(sys.argv[1]), sys.argv[2:]))
