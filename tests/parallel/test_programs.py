"""main.py in two processes: what ends one ends both, with one message, and one process can go on with the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.schema import Config
from runs.checkpoint import load_checkpoint
from tests.parallel.two_processes import start

# A training that does not end by itself, and little beside it.
LONG = (
    "num_epochs=100000",
    "val_interval=0",
    "validate_before=false",
    "log_interval=1",
    "evaluations.linear_probe=null",
)


class Run:
    """A run folder, and main.py with a config that leads there."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.run = folder, folder / "outputs" / "small"
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "small.yaml").write_text(json.dumps(config.model_dump() | {"model_name": None}))  # JSON is YAML

    def start(self, *commands: Sequence[str]) -> list[subprocess.Popen[str]]:
        started = start(commands, self.folder)
        self.processes += started
        return started

    def command(self, *overrides: str) -> list[str]:
        return ["main.py", str(self.folder / "small.yaml"), f"save_path={self.folder / 'outputs'}", *overrides]

    def ended(self, processes: list[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
        """The exit statuses, and what each process wrote to stderr, without what torch and glog warn of."""
        statuses = [process.wait() for process in processes]
        told = [(self.folder / f"err{rank}").read_text() for rank in range(len(processes))]
        return statuses, [
            "\n".join(line for line in text.splitlines() if line and "Gloo" not in line and "it/s" not in line)
            for text in told
        ]

    def records(self, kind: str) -> list[dict[str, Any]]:
        metrics = self.run / "metrics.jsonl"
        lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [record for record in records if record["kind"] == kind]

    def wait_for_steps(self, steps: int, processes: list[subprocess.Popen[str]]) -> None:
        while len(self.records("step")) < steps:
            assert all(process.poll() is None for process in processes), self.ended(processes)
            time.sleep(0.1)


@pytest.fixture
def run(tmp_path: Path, tiny_config: Callable[..., Config], tiny_dataset: Path) -> Iterator[Run]:
    run = Run(tmp_path, tiny_config(*LONG, root=tiny_dataset))
    yield run
    for process in run.processes:  # of a test that has failed
        process.kill()


def test_processes_that_were_given_other_configs_are_refused_once(run: Run) -> None:
    processes = run.start(run.command(), run.command("seed=4"))
    statuses, told = run.ended(processes)
    assert statuses == [2, 2], told
    lines = [line for text in told for line in text.splitlines()]
    assert len(lines) == 1, lines
    assert "error: the processes disagree: seed is 3 for process 0" in lines[0]
    assert "4 for process 1" in lines[0]
    assert not run.run.exists()


def test_what_the_first_process_alone_finds_is_told_once_and_ends_both(run: Run) -> None:
    processes = run.start(*(run.command(f"dataset.root={run.folder}") for _ in range(2)))
    statuses, told = run.ended(processes)
    assert statuses == [2, 2], told
    assert told[1] == ""
    assert len(told[0].splitlines()) == 1, told
    assert "in process 0 of 2" in told[0]


def test_a_signal_at_any_process_saves_once_and_one_process_goes_on(run: Run) -> None:
    processes = run.start(run.command(), run.command())
    run.wait_for_steps(2, processes)
    os.kill(processes[1].pid, signal.SIGTERM)
    statuses, told = run.ended(processes)
    assert statuses == [128 + signal.SIGTERM] * 2, told
    assert "stopped at step" in (run.folder / "out0").read_text()
    assert (run.folder / "out1").read_text() == ""
    last = load_checkpoint(run.run / "checkpoints" / "last.pt")
    step = last["trainer"]["step"]
    assert last["trainer"]["processes"] == 2
    assert step == run.records("step")[-1]["step"] >= 2

    alone = run.start(run.command("resume=true"))
    run.wait_for_steps(step + 2, alone)
    alone[0].terminate()
    assert run.ended(alone)[0] == [128 + signal.SIGTERM]
    said = (run.folder / "out0").read_text()
    assert f"continuing {run.run / 'checkpoints' / 'last.pt'} at step {step}" in said
    assert "trained by 2 processes until now, and by 1 from here on" in said
    assert [record["step"] for record in run.records("step")][: step + 2] == list(range(1, step + 3))


def test_a_killed_process_ends_the_others_and_what_was_reached_is_saved(run: Run) -> None:
    processes = run.start(run.command(), run.command())
    run.wait_for_steps(2, processes)
    processes[1].kill()
    statuses, told = run.ended(processes)
    assert statuses == [1, -signal.SIGKILL]
    assert "another process of the run has gone: it was killed, or its machine is lost" in told[0]
    assert "resume=true continues from last.pt" in told[0]
    assert len(told[0].splitlines()) == 1
    assert load_checkpoint(run.run / "checkpoints" / "last.pt")["trainer"]["step"] >= 2
    assert not (run.run / "lock.json").exists()
