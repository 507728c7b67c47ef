"""The folder of a run that a newer version of the program wrote: every program says so in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import encode
import export
import main
import report
from config.schema import Config
from evaluation.command import main as evaluate
from runs.checkpoint import load_checkpoint, save_checkpoint
from runs.folder import RunFolder
from runs.written_by import FORMAT
from tests.short_runs import NOTHING_BUT_TRAINING

NEWER = {"written_by": {"format": FORMAT + 1, "commit": "0123456789abcdef"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path, tiny_config: Callable[..., Config]) -> Path:
    """A folder with the config of a run, and the run as this version and as a newer one leaves it."""
    folder = tmp_path_factory.mktemp("runs")
    values = tiny_config(*NOTHING_BUT_TRAINING, root=tiny_dataset).model_dump()
    (folder / "small.yaml").write_text(json.dumps(values | {"model_name": "today"}))
    assert main.main([str(folder / "small.yaml"), f'save_path="{folder}"']) == 0
    shutil.copytree(folder / "today", folder / "newer")
    run = RunFolder(folder / "newer")
    for path in (run.last, run.best):
        save_checkpoint(load_checkpoint(path) | NEWER, path)
    for path in (run.environment, run.checkpoints / "encoder.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | NEWER))
    return folder


PROGRAMS: dict[str, tuple[Callable[[Sequence[str]], int], list[str]]] = {
    "main.py": (main.main, ["{folder}/small.yaml", "save_path={folder}", "model_name={run}", "resume=true"]),
    "main.py, resume_path": (
        main.main,
        ["{folder}/small.yaml", "save_path={folder}", "model_name=new", "resume_path={folder}/{run}"],
    ),
    "eval.py": (evaluate, ["{folder}/{run}", "--protocol", "knn"]),
    "eval.py, last": (evaluate, ["{folder}/{run}", "--protocol", "knn", "--checkpoint", "last"]),
    "encode.py": (encode.main, ["{folder}/{run}", "{folder}", "--out", "{folder}/features.npz"]),
    "export.py": (export.main, ["{folder}/{run}", "--torch-export", "{folder}/encoder.pt2"]),
    "report.py": (report.main, ["{folder}/{run}"]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_says_so_in_one_line(runs: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    program, arguments = PROGRAMS[name]
    assert program([argument.format(folder=runs, run="newer") for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "was written by a newer version of this program (commit 0123456789ab)" in error
    assert f"its format is {FORMAT + 1}, and this version reads up to {FORMAT}" in error


def test_what_this_version_wrote_is_read(runs: Path) -> None:
    for name in ("eval.py", "report.py"):
        program, arguments = PROGRAMS[name]
        assert program([argument.format(folder=runs, run="today") for argument in arguments]) == 0
