"""sweep.py as its users start it: what it writes, what it refuses, and a sweep of real runs from end to end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import sweep
from config import generated
from config.load import load_config
from config.schema import Config
from config.yaml_text import parse_yaml
from sweeps import commands
from sweeps.folder import SweepFolder, SweepRun
from tests.sweeps.finished_runs import finish

ROOT = Path(__file__).parents[1]
LR = "optimizer.lr=[1e-3,3e-4]"


class Machine:
    """A folder with a base config, from which sweeps are started."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.base, self.outputs = folder, folder / "base.yaml", folder / "outputs"
        self.configs = folder / "generated"
        values = config.model_dump(exclude={"model_name", "resume"}) | {"save_path": str(self.outputs), "num_epochs": 1}
        self.base.write_text(json.dumps(values))  # JSON is YAML

    def sweep(self, *arguments: str) -> int:
        return sweep.main([str(self.base), *arguments])

    @property
    def names(self) -> set[str]:
        return {str(path.relative_to(self.configs)) for path in self.configs.rglob("*.yaml")}


@pytest.fixture
def machine(
    tmp_path: Path, tiny_config: Callable[..., Config], tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    machine = Machine(tmp_path, tiny_config("figures=[]", "evaluations.linear_probe=null", root=tiny_dataset))
    monkeypatch.setattr(generated, "GENERATED", machine.configs)
    return machine


def test_it_writes_one_config_for_every_combination(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.sweep("--set", LR, "--set", "isolation=[strict,end2end]", "batch_size=4", "--seeds", "2") == 0
    assert machine.names == {
        f"base-sweep/lr-{lr}_isolation-{isolation}_s{seed}.yaml"
        for lr in ("0.001", "0.0003") for isolation in ("strict", "end2end") for seed in (3, 4)
    }  # fmt: skip
    file = machine.configs / "base-sweep/lr-0.0003_isolation-end2end_s4.yaml"
    config = load_config(str(file)).config
    assert (config.model_name, config.save_path) == (file.stem, str(machine.outputs / "base-sweep"))
    assert (config.optimizer.lr, config.seed, config.batch_size) == (0.0003, 4, 4)
    out = capsys.readouterr().out
    assert f"{machine.configs}/base-sweep/lr-0.001_isolation-strict_s3.yaml" in out
    assert "8 configs; the same command with --run, --gpus LIST or --slurm runs all of them" in out
    # The same again, and more of it, changes none of the files.
    before = {path: path.stat().st_mtime_ns for path in machine.configs.rglob("*.yaml")}
    assert machine.sweep("--set", LR, "--set", "isolation=[strict,end2end]", "batch_size=4", "--seeds", "3") == 0
    assert len(machine.names) == 12
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_section_of_the_file_says_the_same(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(machine.base.read_text())
    section = {"name": "rates", "grid": {"optimizer": {"lr": [0.001, 0.0003]}}, "seeds": [3]}
    machine.base.write_text(json.dumps(values | {"sweep": section}))
    assert machine.sweep() == 0
    assert machine.names == {"rates/lr-0.001_s3.yaml", "rates/lr-0.0003_s3.yaml"}
    assert "sweep" not in parse_yaml((machine.configs / "rates/lr-0.001_s3.yaml").read_text(), "")
    section["random"] = {"samples": 2, "hierarchical": {"std_divisor": {"low": 1.0, "high": 3.0}}}
    machine.base.write_text(json.dumps(values | {"sweep": section}))
    assert machine.sweep("--name", "more", "--samples", "5") == 0
    assert len([name for name in machine.names if name.startswith("more/")]) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing varies: give --set key=[...], --seeds N, or a section sweep in base.yaml"),
        (
            ["--set", "optimizer.lrr=[1]"],
            "with optimizer.lrr=1: unknown key optimizer.lrr (command line); did you mean",
        ),
        (
            ["--set", "optimizer.lr=[1e-3,none]"],
            "with optimizer.lr=none: optimizer.lr (command line): expected a number",
        ),
        (["optimizer.lrr=1", "--set", LR], "unknown key optimizer.lrr (command line); did you mean optimizer.lr?"),
        (["--set", LR, "--name", "a b"], "the name of a sweep: 'a b' names folders; use letters"),
        (["--set", LR, "--name", ".."], "the name of a sweep: '..' names folders"),
        (["--set", LR, "--by", "kn"], "--by kn: there is no evaluation kn; evaluations has knn, supervised"),
        (
            ["--set", LR, "--by", "linear_probe"],
            "--by linear_probe: there is no evaluation linear_probe; evaluations has",
        ),
        (
            ["--set", LR, "--by", "knn/frame"],
            "--by knn/frame: there is no level frame; the encoder has space, time, clip",
        ),
        (["--set", LR, "--gpus", "0;1"], "--gpus 0;1: expected numbers of GPUs or cpu"),
        (["--set", LR, "--seeds", "0"], "--seeds: expected a number of seeds"),
        (["--table"], "there is no sweep OUTPUTS/base-sweep; --name says which one is meant"),
        (
            ["--set", LR, "--slurm", "--slurm-option", "nodes=2"],
            "--slurm-option nodes: a run is one process on one node",
        ),
        (["--set", "seed=[1]", "--set", f"batch_size={list(range(1, 1200))}"], "these are 1,199 runs; --yes says that"),
        (["--yes", "--seeds", "200000"], "these are 200,000 runs, more than 100,000: draw some of them"),
    ],
)
def test_bad_input_is_told_in_one_line_before_anything_is_written(
    machine: Machine, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert machine.sweep(*arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: " + message.replace("OUTPUTS", str(machine.outputs)))
    assert err.count("\n") == 1
    assert not out
    assert not machine.names
    assert not machine.outputs.exists()


def test_many_runs_are_asked_for_on_a_terminal(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(commands, "MANY", 3)
    assert machine.sweep("--seeds", "3") == 0
    for answer, status in (("n\n", 2), ("\n", 2), ("y\n", 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert machine.sweep("--seeds", "4") == status
        out, err = capsys.readouterr()
        assert "These are 4 runs. Go on? [y/N]" in out
        assert ("nothing was written" in err) == (len(machine.names) == 3) == (status == 2)
    assert machine.sweep("--seeds", "5", "--yes") == 0
    assert "Go on?" not in capsys.readouterr().out


def test_a_name_that_exists_is_refused_unless_it_is_the_same_sweep(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> str:
        before = {path: path.read_bytes() for path in machine.folder.rglob("*") if path.is_file()}
        assert machine.sweep(*arguments) == 2
        assert {path: path.read_bytes() for path in machine.folder.rglob("*") if path.is_file()} == before
        return capsys.readouterr().err

    assert machine.sweep("--set", LR) == 0
    assert "is a sweep that varies optimizer.lr; choose another name" in refused("--set", "batch_size=[4]")
    elsewhere = f"save_path={machine.folder}/elsewhere"
    assert "has the configs of another sweep of this name, whose runs lie in" in refused("--set", LR, elsewhere)
    (machine.outputs / "mine").mkdir()
    (machine.outputs / "mine/thesis").write_text("nobody's but its owner's")
    assert "exists and is not the folder of a sweep" in refused("--set", LR, "--name", "mine")


def test_the_table_is_drawn_from_what_is_there(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.sweep("--set", LR, "--seeds", "2") == 0
    folder = SweepFolder(machine.outputs / "base-sweep")
    finish(folder, "lr-0.001_s3", 50.0, 45.0)
    finish(folder, "lr-0.0003_s3", 60.0, 55.0)
    capsys.readouterr()
    assert machine.sweep("--table") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()[2:4]]
    assert [row[:3] for row in rows] == [["1", "0.0003", "60.0"], ["2", "0.001", "50.0"]]
    assert f"open {folder.report}" in out
    assert "No run" not in folder.report.read_text()
    assert machine.sweep("--table", "--by", "knn/space") == 0
    assert json.loads(folder.json.read_text())["rows"][0]["val_mean"] == 50.0


def test_a_typo_and_help_do_not_wait_for_what_computes() -> None:
    program = (
        "import sys, sweep; print(sorted({'torch', 'numpy', 'submitit', 'jinja2', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------------------------------- from end to end


def test_real_runs_are_compared_and_one_that_fails_stops_no_other(
    machine: Machine, tiny_dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (machine.folder / "file").write_text("no folder")
    roots = f"dataset.root=['{machine.folder}/file', '{tiny_dataset}']"
    assert machine.sweep("--set", roots, "--gpus", "cpu,cpu") == 1
    out = capsys.readouterr().out
    folder = SweepFolder(machine.outputs / "base-sweep")
    good, bad = sorted(json.loads(folder.json.read_text())["runs"], key=lambda run: str(run["state"]))
    assert (good["state"], bad["state"]) == ("done", "failed")
    assert bad["reason"].startswith(f"error: {machine.folder}/file exists and is not a moving_digits dataset")
    assert f"warning: {bad['name']} failed: {bad['reason']}" in out
    summary = json.loads(folder.run(good["name"]).summary.read_text())
    records = [json.loads(line) for line in folder.run(good["name"]).metrics.read_text().splitlines()]
    (chosen,) = [r for r in records if r["kind"] == "validation" and r["step"] == summary["best_step"]]
    for split, results in (("val", chosen["results"]), ("test", summary["results"])):
        own = [result for result in results if result["own"] and result["evaluation"] == "knn" and result["primary"]]
        assert len(own) == 3
        for what in ("value", "random_init", "chance"):
            expected = sum(result[what] for result in own) / 3
            assert good["scores"][split][what] == pytest.approx(expected, abs=1e-3)
    planned, trained = (load_config(str(path)).config for path in (good["config"], folder.run(good["name"]).config))
    assert planned == trained


@pytest.mark.slow
def test_a_sweep_is_ended_and_continued(machine: Machine) -> None:
    """Eight runs, two at a time, in a process of their own; a signal comes while the third and fourth train."""
    program = (
        "import sys; from pathlib import Path; from config import generated; import sweep\n"
        "generated.GENERATED = Path(sys.argv.pop(1))\nsys.exit(sweep.main())"
    )
    arguments = [
        "--set",
        LR,
        "--set",
        "isolation=[strict,end2end]",
        "--seeds",
        "2",
        "--gpus",
        "cpu,cpu",
        "num_epochs=4",
    ]
    command = [sys.executable, "-c", program, str(machine.configs), str(machine.base), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    folder = SweepFolder(machine.outputs / "base-sweep")
    third = folder.run("lr-0.001_isolation-end2end_s3")
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while not third.last.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, out
    assert "the same command continues it" in out
    assert not third.summary.exists()
    before = {path: path.stat().st_mtime_ns for path in folder.root.glob("*/summary.json")}
    assert len(before) == 2
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 of 8 runs are complete already" in done.stdout
    assert "continuing" in folder.training(SweepRun(third.root.name, {}, 3, "")).log.read_text()
    assert len(list(folder.root.glob("*/summary.json"))) == 8
    assert {path: path.stat().st_mtime_ns for path in before} == before
    found = json.loads(folder.json.read_text())
    assert [row["done"] for row in found["rows"]] == [2, 2, 2, 2]
    assert sorted(row["val_mean"] for row in found["rows"]) == [row["val_mean"] for row in found["rows"]][::-1]
    assert [effect["verdict"] for effect in found["effects"]] == ["too few"] * 2
