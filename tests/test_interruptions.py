"""A run that is interrupted, by whatever and whenever, goes on from there, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import main
from benchmarks.interruptions.program import fork
from config.schema import Config
from optimizers import Pace
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder

# 24 training videos in batches of 4: two epochs of 6 steps.
OVERRIDES = ("num_epochs=2", "batch_size=4", "log_interval=1", "figures=[]", "output_batchnorm=true")


@dataclass
class Program:
    """main.py in this process, and what it says."""

    folder: Path
    file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def __call__(self, *overrides: str, name: str = "run") -> int:
        arguments = [str(self.file), f'save_path="{self.folder}"', f"model_name={name}", *overrides]
        status = main.main(arguments)
        self.out, self.err = self.capture.readouterr()
        return status

    def run(self, name: str = "run") -> RunFolder:
        return RunFolder(self.folder / name)


@pytest.fixture
def program(
    tmp_path: Path, tiny_dataset: Path, tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> Program:
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(tiny_config(*OVERRIDES, root=tiny_dataset).model_dump() | {"model_name": None}))
    return Program(tmp_path / "outputs", file, capsys)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path, tiny_config: Callable[..., Config]
) -> dict[str, Any]:
    """What a run leaves that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    file = folder / "small.yaml"
    file.write_text(json.dumps(tiny_config(*OVERRIDES, root=tiny_dataset).model_dump() | {"model_name": None}))
    assert main.main([str(file), f'save_path="{folder}"', "model_name=run"]) == 0
    return left_by(RunFolder(folder / "run"))


def left_by(run: RunFolder) -> dict[str, Any]:
    """The encoder, all weights, and what was measured, apart from times."""
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    keys = ("kind", "step", "epoch", "loss", "grad_norm", "lr", "knn", "rank", "std", "monitors", "alarms")
    return {
        "encoder": (run.checkpoints / "encoder.safetensors").read_bytes(),
        "weights": {name: value.tolist() for name, value in load_checkpoint(run.last)["task"].items()},
        "records": [{key: line[key] for key in keys if key in line} for line in lines],
        "knn": json.loads(run.summary.read_text())["knn"],
    }


class Trigger:
    """Calls what it wraps, and does something at one of the calls."""

    def __init__(self, function: Callable[..., Any], call: int, action: Callable[[], object], *, after: bool) -> None:
        self.function, self.left, self.action, self.after = function, call, action, after

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            self.action()
        result = self.function(*arguments, **named)
        if self.left == 0 and self.after:
            self.action()
        return result


def fail() -> None:
    raise ZeroDivisionError("a fault of the program")


def kill_what_was_started_since(before: list[psutil.Process]) -> None:
    """As the kernel does when memory is full; processes of other tests (which run in any order) are left alone."""
    workers = [child for child in psutil.Process().children() if child not in before]
    workers = [worker for worker in workers if "resource_tracker" not in " ".join(worker.cmdline())]
    assert workers
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def patch(monkeypatch: pytest.MonkeyPatch, place: str, call: int, action: Callable[[], object], after: bool) -> None:
    owner, _, name = place.rpartition(".")
    target = main if not owner else getattr(main, owner)
    trigger = Trigger(getattr(target, name), call, action, after=after)
    # A plain function, so that it becomes a method where it takes the place of one.
    monkeypatch.setattr(target, name, lambda *arguments, **named: trigger(*arguments, **named))


SAVED = "resume=true continues from last.pt"


@dataclass(frozen=True)
class Case:
    """What happens at which call of which function of main.py, before or after it; what the run says, and its step."""

    place: str
    call: int
    action: Callable[[], object]
    after: bool
    step: int
    said: str


CASES = {
    "stop at init": Case("Validator.run", 1, stop, False, 0, "stopped at step 0 of 12; resume=true continues it"),
    "stop in a step": Case(
        "TrainingProgress.update", 4, stop, True, 4, "stopped at step 4 of 12; resume=true continues it"
    ),
    "stop in validation": Case("Validator.run", 2, stop, False, 6, "stopped at step 6 of 12; resume=true continues it"),
    "stop in last step": Case(
        "TrainingProgress.update", 12, stop, True, 12, "stopped at step 12 of 12; resume=true continues it"
    ),
    "stop in last validation": Case("Validator.run", 3, stop, False, 12, "step 12 of 12; resume=true scores it"),
    "stop in the test": Case("final_test", 1, stop, True, 12, SAVED),
    "error after a step": Case("TrainingProgress.update", 4, fail, True, 4, SAVED),
    "error in a step": Case("Trainer._descend", 4, fail, True, 3, SAVED),
    "error in validation": Case("Validator.run", 2, fail, False, 6, SAVED),
    "error after validation": Case("announce", 3, fail, True, 12, SAVED),
    "error in the test": Case("final_test", 1, fail, True, 12, SAVED),
}
SLOW = ("stop in last step", "stop in last validation", "error after validation", "error in the test")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(program: Program, whole: dict[str, Any], name: str) -> None:
    case = CASES[name]
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch, case.place, case.call, case.action, case.after)
        assert program() == (143 if case.action is stop else 1)
    assert case.said in program.out + program.err
    assert "Traceback" not in program.err
    assert program.run().error.exists() == (case.action is fail)
    assert load_checkpoint(program.run().last)["history"]["step"] == case.step
    assert not program.run().lock.exists()
    assert program("resume=true") == 0
    assert left_by(program.run()) == whole
    assert not program.run().error.exists()


def killed(program: Program, moment: str, *overrides: str) -> str:
    """Starts the run in a process that is killed at a moment; returns what it has said."""
    log = program.folder.parent / "log"
    arguments = [str(program.file), f'save_path="{program.folder}"', "model_name=run", *overrides]
    child = fork(moment, program.folder.parent / "order", arguments, log, {})
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, log.read_text()
    return log.read_text()


def test_a_run_that_is_killed_and_whose_last_checkpoint_is_damaged_ends_as_if_nothing_had_happened(
    program: Program, whole: dict[str, Any]
) -> None:
    often = ("resume=auto", "checkpoint={every_steps: 2, keep_last: 2}")
    killed(program, "between the parts of a step", *often)
    last = program.run().last
    assert load_checkpoint(last)["history"]["step"] == 4
    last.write_bytes(last.read_bytes()[:-1000])
    said = killed(program, "a checkpoint is half written", *often)
    damaged = f"warning: checkpoint {last} is damaged, or is none: going on from step 2, which last_2.pt holds\n"
    assert said.count(damaged) == 1
    assert program(*often) == 0
    assert left_by(program.run()) == whole
    names = {path.name for path in program.run().checkpoints.iterdir()}
    assert names == {"last.pt", "last_10.pt", "best.pt", "encoder.safetensors", "encoder.json"}


def test_a_disk_that_is_full_for_a_while_costs_nothing(program: Program, whole: dict[str, Any]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as monkeypatch:
        # From step 4 on, over the first validation, to step 8.
        fill = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, limits[1]))
        clear = partial(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        patch(monkeypatch, "TrainingProgress.update", 8, clear, after=True)
        patch(monkeypatch, "TrainingProgress.update", 4, fill, after=True)
        try:
            assert program("checkpoint.every_steps=2") == 0
        finally:
            clear()
    run = program.run()
    assert f"warning: cannot write {run.best}: File too large" in program.out
    assert f"warning: cannot write {run.last}: File too large" in program.out
    assert "the run goes on, and tries again with the next checkpoint" in program.out
    assert left_by(run) == whole


def test_a_job_that_reaches_its_time_limit_is_queued_again_and_goes_on(
    program: Program, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, notes = program.folder.parent / "bin/scontrol", program.folder.parent / "notes"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >> "{notes}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    job = ("resume=auto", "auto_requeue=true")
    with pytest.MonkeyPatch.context() as patched:
        patch(patched, "TrainingProgress.update", 4, partial(signal.raise_signal, signal.SIGUSR1), after=True)
        assert program(*job) == 138
    assert "stopped at step 4 of 12; resume=true continues it" in program.out
    assert "auto_requeue: job 4711 is queued again" in program.out
    assert program(*job) == 0
    assert notes.read_text() == "requeue 4711\n"
    assert left_by(program.run()) == whole


def test_a_loader_process_that_is_killed_costs_nothing(program: Program, whole: dict[str, Any]) -> None:
    kill_workers = partial(kill_what_was_started_since, psutil.Process().children())
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch, "TrainingProgress.update", 2, kill_workers, after=True)
        assert program("num_workers=1") == 1
    assert program.err.startswith("error: a process that reads videos has died")
    assert program.err.count("\n") == 1
    assert load_checkpoint(program.run().last)["history"]["step"] >= 2
    assert program("resume=true", "num_workers=0") == 0
    assert left_by(program.run()) == whole


def test_an_error_while_weights_move_saves_nothing(program: Program) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        trigger = Trigger(Pace.set, 4, fail, after=True)
        monkeypatch.setattr(Pace, "set", lambda *arguments: trigger(*arguments))
        assert program() == 1
    assert load_checkpoint(program.run().last)["history"]["step"] == 0  # the state of step 4 is not sound


@pytest.mark.parametrize("action", [stop, fail])
def test_before_there_is_anything_to_continue_the_name_stays_free(
    program: Program, action: Callable[[], object]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch, "open_experiment", 1, action, after=True)
        if action is stop:
            assert program() == 143
            assert program.err == "SIGTERM: the run has ended; nothing had been trained yet\n"
        else:
            with pytest.raises(ZeroDivisionError):
                program()
    assert not program.run().root.exists()


def test_a_second_start_of_a_run_that_is_alive_is_refused_and_disturbs_nothing(
    program: Program, whole: dict[str, Any]
) -> None:
    statuses, said = [], []

    def start_again() -> None:
        statuses.append(
            main.main([str(program.file), f'save_path="{program.folder}"', "model_name=run", "resume=true"])
        )
        said.append(program.capture.readouterr().err)

    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch, "TrainingProgress.update", 8, start_again, after=True)
        assert program() == 0
    assert statuses == [2]
    assert said[0].startswith(f"error: run {program.run().root} is in use by process {os.getpid()} on ")
    assert left_by(program.run()) == whole


# ------------------------------------------------------------------------------------------- checkpoints


def test_checkpoints_are_looked_at_before_a_resumed_run_trains(program: Program, whole: dict[str, Any]) -> None:
    assert program("num_epochs=1") == 0
    run = program.run()

    def refused(words: str) -> None:
        before = {path: path.stat().st_mtime_ns for path in run.root.rglob("*") if path.is_file()}
        assert program("resume=true", "num_epochs=2") == 2
        assert words in program.err
        assert program.err.count("\n") == 1
        assert {path: path.stat().st_mtime_ns for path in run.root.rglob("*") if path.is_file()} == before

    torch.save({}, run.last)
    kept = run.checkpoints / "last_0.pt"
    kept.rename(run.root / "aside")
    refused("is not a checkpoint of this program: it has no task; copy")
    (run.root / "aside").rename(kept)
    shutil.copy(run.best, run.last)  # what the message advises
    run.best.write_bytes(run.best.read_bytes()[:-1000])
    refused("best.pt is damaged, or is none; remove it: then resume=true continues")
    run.best.unlink()  # what the message advises
    assert program("resume=true", "num_epochs=2") == 0
    assert "best.pt is missing" in program.out
    assert len(left_by(run)["records"]) == len(whole["records"])


def test_a_finished_run_without_its_best_checkpoint_exports_the_last_one_and_says_so(program: Program) -> None:
    assert program("num_epochs=1") == 0
    program.run().best.unlink()
    for _ in range(2):
        assert program("num_epochs=1", "resume=true") == 0
        words = "step 6, the last one: validation cannot choose, since the checkpoint that it chose was lost"
        assert f"warning: the encoder is that of {words}" in program.out
        assert json.loads(program.run().summary.read_text())["chosen"] == words
        assert f"of {words}" in program.run().report.read_text()
