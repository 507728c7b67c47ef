"""One training run of a benchmark: `main.py` in a process of its own, as users start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from config.yaml_text import to_yaml

ROOT = Path(__file__).resolve().parent.parent


def train(folder: Path, name: str, config: str, overrides: Sequence[str], threads: int) -> str | None:
    """Trains the run `folder / name` to its end, goes on where it was interrupted, or finds it complete.

    What the run prints is added to `<name>.log` in `folder`.

    Args:
        folder: of the run folders.
        name: of the run folder.
        config: a name in config/ or an absolute path.
        overrides: `key=value` each.
        threads: that the run computes with.

    Returns:
        None where the run is complete, else the last line that it printed.
    """
    folder = folder.resolve()
    run_folder = folder / name
    if (run_folder / "summary.json").is_file():
        return None
    resume = (run_folder / "checkpoints/last.pt").is_file()
    if not resume and (run_folder / "config.yaml").is_file():
        shutil.rmtree(run_folder)  # killed before its first checkpoint: there is nothing to go on from
    places = {"save_path": str(folder), "model_name": name, "resume": resume}
    arguments = ["main.py", config, *overrides, *(f"{key}={to_yaml(value)}" for key, value in places.items())]
    return run_python(arguments, threads, folder / f"{name}.log")


def run_python(arguments: Sequence[str], threads: int, log: Path) -> str | None:
    """Runs a program of this repository in a process of so many threads; its output is added to `log`.

    Returns:
        None where it ended well, else its last line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        began = output.tell()
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode == 0:
        return None
    lines = log.read_bytes()[began:].decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it printed nothing"
    return f"killed by signal {-ended.returncode}: {last}" if ended.returncode < 0 else last
