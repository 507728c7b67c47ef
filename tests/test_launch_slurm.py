"""launch_slurm.py: what Slurm is asked for, and that the tasks of a job are the processes of one run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import launch_slurm
from config.schema import Config
from sweeps.slurm import make_executor, submit
from tests.sweeps.fake_program import Fake


@pytest.fixture
def config(tmp_path: Path, tiny_config: Callable[..., Config]) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(tiny_config().model_dump() | {"model_name": None, "save_path": str(tmp_path / "runs")}))
    return str(file)


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where an sbatch on the PATH keeps the scripts that it gets."""
    commands, kept = tmp_path / "bin", tmp_path / "submitted"
    commands.mkdir()
    kept.mkdir()
    for name, body in (("srun", ""), ("sbatch", f"cp \"$1\" {kept}/\necho 'Submitted batch job 123'")):
        (commands / name).write_text(f"#!{shutil.which('sh')}\n{body}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return kept


def test_a_job_has_a_task_for_each_gpu(submitted: Path, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--nodes", "2", "--gpus", "4", "--time", "90", "--partition", "gpu", "--slurm-option", "mem_gb=64"]
    assert launch_slurm.main([config, "seed=5", *asked]) == 0
    (script,) = submitted.iterdir()
    lines = script.read_text().splitlines()
    for line in (
        "#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=4", "#SBATCH --gpus-per-node=4", "#SBATCH --time=90",
        "#SBATCH --partition=gpu", "#SBATCH --mem=64GB", "#SBATCH --job-name=small",
    ):  # fmt: skip
        assert line in lines
    assert "submitted job 123: 8 processes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--gpus", "0"], "--gpus 0: expected at least 1"),
        (["seeds=1"], "unknown key seeds"),
        (["--slurm-option", "nodes=2"], "--slurm-option nodes: --nodes and --gpus say how many processes there are"),
        (["--slurm-option", "partitoin=gpu"], "--slurm-option: Unknown argument 'partitoin'"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    submitted: Path, config: str, given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch_slurm.main([config, *given]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told
    assert not list(submitted.iterdir())


def test_without_slurm_the_user_is_told(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch_slurm.main([config]) == 2
    assert "there is no Slurm here (no srun)" in capsys.readouterr().err


def test_the_tasks_of_a_job_are_processes_that_can_meet(tmp_path: Path) -> None:
    """By submitit's local executor: real processes."""
    fake = Fake(tmp_path)
    executor = make_executor(tmp_path / "jobs" / "%j", {"cluster": "local", "timeout_min": 5, "tasks_per_node": 2})
    (job,) = submit([fake.training("a")], executor)
    assert job.exception() is None
    starts = sorted(fake.starts, key=lambda start: str(start["RANK"]))
    assert [(start["RANK"], start["WORLD_SIZE"]) for start in starts] == [("0", "2"), ("1", "2")]
    assert starts[0]["MASTER_PORT"] == starts[1]["MASTER_PORT"] is not None
    assert {path.name for path in fake.folder.glob("*.log")} == {"a.log", "a.1.log"}
