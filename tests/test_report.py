"""report.py as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import report
from runs.folder import RunFolder
from runs.metrics import MetricLog
from runs.process.atomic import write_json
from runs.results import Result, as_records
from sweeps.folder import SweepFolder
from tests.sweeps.finished_runs import finish, sweep_of

ROOT = Path(__file__).parents[1]


def make_run(root: Path, lr: float, *, ended: bool = True) -> RunFolder:
    run = RunFolder(root)
    run.figures.mkdir(parents=True)
    run.config.write_text(f"optimizer: {{name: adamw, lr: {lr}}}\nnum_epochs: 4\n", encoding="utf-8")
    write_json(run.environment, {"command": "python main.py x"})
    score = Result("knn", "d", "val", "space", "digit", "top1", 40.0, interval=3.0, chance=10.0, own=True)
    with MetricLog(run.metrics) as log:
        log.write("step", step=3, epoch=0, loss={"space": {"up": 1.0}})
        log.write("validation", step=6, epoch=2, results=as_records([score]), alarms=[])
    if ended:
        test = Result("knn", "d", "test", "space", "digit", "top1", 44.0, interval=3.0, chance=10.0, own=True)
        write_json(run.summary, {"results": as_records([test]), "alarms": []})
    return run


def test_the_report_of_a_run_is_written_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended, going = make_run(tmp_path / "a", 0.1), make_run(tmp_path / "b", 0.1, ended=False)
    assert report.main([str(ended.root)]) == 0
    assert f"open {ended.report}" in capfd.readouterr().out
    assert "44.0 %" in ended.report.read_text(encoding="utf-8")
    assert report.main([str(going.root)]) == 0
    html = going.report.read_text(encoding="utf-8")
    assert "Stopped at step 6, 2 of 4 epochs done." in html
    assert "40.0 %" in html


def test_runs_are_compared(tmp_path: Path) -> None:
    roots = [str(make_run(tmp_path / name, lr).root) for name, lr in (("a", 0.1), ("b", 0.2))]
    assert report.main(roots) == 0
    assert "optimizer.lr" in (tmp_path / report.COMPARISON).read_text(encoding="utf-8")
    assert report.main([*roots, "--out", str(tmp_path / "mine.html")]) == 0
    assert (tmp_path / "mine.html").is_file()


def test_the_report_of_a_sweep_is_written_anew(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    manifest = sweep_of(folder, [({"lr": lr}, seed) for lr in (0.1, 0.2) for seed in (0, 1)])
    folder.write(manifest)
    for number, each in enumerate(manifest.runs):
        finish(folder, each.name, 50.0 + number, 40.0)
    assert report.main([str(folder.root)]) == 0
    html = folder.report.read_text(encoding="utf-8")
    assert "The best:" in html
    assert "lr=0.2 from" in html  # its curve


def test_bad_input_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = str(make_run(tmp_path / "a", 0.1).root)
    sweep = SweepFolder(tmp_path / "sweep")
    sweep.write(sweep_of(sweep, [({"lr": 0.1}, 0)]))
    for arguments, words in (
        ([str(tmp_path / "none")], "is not a folder"),
        ([str(tmp_path)], "is not the folder of a run"),
        ([run, run], "is given twice"),
        ([run, str(sweep.root)], "is the folder of a sweep: give it alone"),
        ([run, "--out", "x.html"], "--out is for several runs"),
        ([run, str(make_run(tmp_path / "b", 0.1).root), "--out", str(tmp_path)], "is a folder; name a file in it"),
        ([run, str(tmp_path / "b"), "--out", str(tmp_path / "no" / "x.html")], "cannot write"),
    ):
        assert report.main(arguments) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert words in line


def test_a_typo_is_told_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys, report\ntry: report.main(['--nonsense'])\nexcept SystemExit as end: status = end.code\n"
        "print(status, sorted({'torch', 'numpy', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"
