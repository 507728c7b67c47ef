"""Runs as jobs: what is asked of Slurm, and, by submitit's own local executor, what the jobs do."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from sweeps.slurm import TrainingJob, make_executor, read_options, submit
from tests.sweeps.fake_program import Fake


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts an srun and an sbatch on the PATH; the second one keeps its scripts in the folder that this returns."""

    def make(error: str = "") -> Path:
        commands, kept = tmp_path / "bin", tmp_path / "submitted"
        commands.mkdir()
        kept.mkdir()
        answer = f"echo 'sbatch: error: {error}' >&2\nexit 1" if error else "echo 'Submitted batch job 123'"
        for name, body in (("srun", ""), ("sbatch", f'cp "$1" {kept}/\n{answer}')):
            (commands / name).write_text(f"#!{shutil.which('sh')}\n{body}\n")
            (commands / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
        return kept

    return make


def test_the_runs_are_one_array_with_the_options_of_the_user(
    cluster: Callable[..., Path], fake: Fake, tmp_path: Path
) -> None:
    kept = cluster()
    options = read_options(["partition=gpu", "time=90", "cpus_per_task=4", "mem_gb=16", "array_parallelism=2"])
    done = fake.training("done")
    done.run.root.mkdir()
    done.run.summary.write_text("{}")
    runs = [fake.training("a"), done, fake.training("b"), fake.training("c")]
    jobs = submit(runs, make_executor(tmp_path / "jobs" / "%j", options))
    assert [job.job_id for job in jobs] == ["123_0", "123_1", "123_2"]
    (script,) = kept.iterdir()
    lines = script.read_text().splitlines()
    for line in (
        "#SBATCH --partition=gpu", "#SBATCH --time=90", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=16GB",
        "#SBATCH --array=0-2%2", "#SBATCH --gpus-per-node=1", "#SBATCH --job-name=sweep",
    ):  # fmt: skip
        assert line in lines
    assert f" {sys.executable} -u -m submitit.core._submit " in script.read_text()
    # The jobs import this repository, wherever they start.
    assert str(Path(__file__).parents[2]) in os.environ["PYTHONPATH"].split(os.pathsep)


def test_nothing_is_submitted_where_all_is_done(cluster: Callable[..., Path], fake: Fake, tmp_path: Path) -> None:
    kept = cluster()
    done = fake.training("a")
    done.run.root.mkdir()
    done.run.summary.write_text("{}")
    assert submit([done], make_executor(tmp_path / "jobs", read_options([]))) == []
    assert not list(kept.iterdir())


def test_what_slurm_says_against_it_is_told(cluster: Callable[..., Path], fake: Fake, tmp_path: Path) -> None:
    cluster("invalid partition specified: gpuu")
    executor = make_executor(tmp_path / "jobs", read_options(["partition=gpuu"]))
    with pytest.raises(
        InputError, match=r"--slurm: the jobs could not be submitted: .*invalid partition specified: gpuu"
    ):
        submit([fake.training("a"), fake.training("b")], executor)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["partition"], "--slurm-option 'partition': expected key=value"),
        (["time=soon"], "--slurm-option time: expected a whole number of minutes, got 'soon'"),
        (["time=0"], "expected a whole number of minutes, got 0"),
        (["time=5", "timeout_min=6"], "--slurm-option timeout_min is given twice"),
        (["nodes=2"], "--slurm-option nodes: a run is one process on one node"),
        (["cluster=moon"], "--slurm-option cluster: expected slurm or local, got 'moon'"),
        (["partitoin=gpu"], "--slurm-option: Unknown argument 'partitoin'"),
        (["cpus_per_task=many"], '--slurm-option: Parameter "cpus_per_task" expected type'),
    ],
)
def test_a_wrong_option_is_told_in_one_line(
    cluster: Callable[..., Path], tmp_path: Path, given: list[str], message: str
) -> None:
    cluster()
    with pytest.raises(InputError) as error:
        make_executor(tmp_path / "jobs", read_options(given))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_without_slurm_the_user_is_told_what_else_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"there is no Slurm here \(no srun\); --slurm-option cluster=local"):
        make_executor(tmp_path / "jobs", read_options([]))


def test_without_submitit_the_user_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"run_scripts/setup_environment\.sh dev installs it"):
        make_executor(tmp_path / "jobs", read_options([]))


def test_jobs_train_and_failures_are_failures_of_the_job(fake: Fake, tmp_path: Path) -> None:
    """By submitit's local executor: real processes, with what they are given and what they return in files."""
    executor = make_executor(tmp_path / "jobs" / "%j", read_options(["cluster=local"]))
    good, bad = submit([fake.training("a"), fake.training("b", "fail")], executor)
    error = bad.exception()
    assert good.result() == "done"
    assert error is not None
    assert "RuntimeError: error: no such folder" in str(error)
    assert fake.training("b", "fail").found().reason == "error: no such folder"


def test_a_job_near_its_time_limit_saves_and_goes_on_in_its_next_turn(fake: Fake) -> None:
    """What submitit does on the signal that Slurm sends: it asks for a checkpoint, and runs that later."""
    (fake.folder / "hold").touch()
    job = TrainingJob(fake.training("a", "wait"))

    class EndOfTurn(Exception):
        pass

    def end_turn(number: int, frame: object) -> None:
        later.append(job.checkpoint())
        raise EndOfTurn

    later: list[Any] = []
    before = signal.signal(signal.SIGUSR2, end_turn)
    log = fake.folder / "a.log"

    def send_when_it_trains() -> None:
        while not (log.exists() and "training" in log.read_text()):
            time.sleep(0.05)
        # Slurm sends it to all processes of the job; the run must not die of it.
        os.kill(job._process.pid, signal.SIGUSR2)  # type: ignore[union-attr]
        os.kill(os.getpid(), signal.SIGUSR2)

    try:
        threading.Thread(target=send_when_it_trains).start()
        with pytest.raises(EndOfTurn):
            job()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert "stopped at step 3" in log.read_text()
    assert later[0].function() == "done"
    assert [start["resume"] for start in fake.starts] == ["false", "true"]


def test_a_complete_run_is_not_started(fake: Fake) -> None:
    training = fake.training("a", "fail")
    training.run.root.mkdir()
    training.run.summary.write_text("{}")
    assert TrainingJob(replace(training, start_in=fake.folder))() == "done"
    assert not fake.starts
