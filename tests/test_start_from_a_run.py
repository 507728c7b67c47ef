"""A new run that starts from another one: from its weights (`resume_path`) or from its whole state (`resume_all`)."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from config.schema import Config
from runs.checkpoint import load_checkpoint, save_checkpoint
from runs.folder import RunFolder
from runs.reporting.console import TrainingProgress

# 24 training videos in batches of 8: three epochs of 3 steps.
OVERRIDES = (
    "num_epochs=3",
    "log_interval=1",
    "figures=[]",
    "figure_videos=4",
    "figure_epochs=2",
    "pixel_floors=false",
    "evaluations.linear_probe=null",
)
STOPPED_AT = 7  # in the third epoch


@dataclass
class Program:
    """main.py in this process, and what it says."""

    folder: Path
    file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def __call__(self, name: str, *overrides: str) -> int:
        status = main.main([str(self.file), f'save_path="{self.folder}"', f"model_name={name}", *overrides])
        self.out, self.err = self.capture.readouterr()
        return status

    def refuses(self, *overrides: str) -> str:
        """The one line with which the program refuses to start; it leaves no folder."""
        assert self("refused", *overrides) == 2
        line = self.err.rstrip("\n").rpartition("\n")[2]
        assert line.startswith("error: ")
        assert not (self.folder / "refused").exists()
        return line


@dataclass(frozen=True)
class Runs:
    """A run that nothing stopped, and the same one stopped in its third epoch."""

    folder: Path
    file: Path
    whole: RunFolder
    stopped: RunFolder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path, tiny_config: Callable[..., Config]) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    file = folder / "small.yaml"
    file.write_text(json.dumps(tiny_config(*OVERRIDES, root=tiny_dataset).model_dump() | {"model_name": None}))
    start = [str(file), f'save_path="{folder}"']
    assert main.main([*start, "model_name=whole"]) == 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        update, seen = TrainingProgress.update, []

        def stop_in_time(self: Any, step: int, *others: Any) -> None:
            update(self, step, *others)
            seen.append(step)
            if step == STOPPED_AT:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(TrainingProgress, "update", stop_in_time)
        assert main.main([*start, "model_name=stopped"]) == 143
    return Runs(folder, file, RunFolder(folder / "whole"), RunFolder(folder / "stopped"))


@pytest.fixture
def program(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(tmp_path / "outputs", runs.file, capsys)


def task_of(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_checkpoint(path)["task"]
    return weights


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def records(run: RunFolder) -> list[dict[str, Any]]:
    """What was measured, apart from times."""
    keys = ("kind", "step", "epoch", "loss", "grad_norm", "lr", "knn", "rank", "alarms")
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{key: line[key] for key in keys if key in line} for line in lines]


def account(run: RunFolder) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.carry_over.read_text())["start"]
    return content


def test_the_whole_state_goes_on_as_if_nothing_had_happened(program: Program, runs: Runs) -> None:
    before = {path: path.read_bytes() for path in runs.stopped.root.rglob("*") if path.is_file()}
    assert program("goes_on", f"resume_path={runs.stopped.root}", "resume_all=true") == 0
    assert f"continuing {program.folder}/goes_on/checkpoints/last.pt at step 7 of 9" in program.out
    run = RunFolder(program.folder / "goes_on")
    for name in ("last.pt", "best.pt"):
        assert same(task_of(run.checkpoints / name), task_of(runs.whole.checkpoints / name)), name
    assert records(run) == records(runs.whole)
    assert sorted(p.name for p in run.epoch_features.iterdir()) == sorted(
        p.name for p in runs.whole.epoch_features.iterdir()
    )
    ids = {load_checkpoint(folder.last)["run"] for folder in (run, runs.stopped, runs.whole)}
    assert len(ids) == 3
    assert {path: path.read_bytes() for path in runs.stopped.root.rglob("*") if path.is_file()} == before


def test_the_whole_state_of_an_epoch_with_another_course(program: Program, runs: Runs) -> None:
    epoch = ("resume_epoch=3", "num_epochs=4", "optimizer.lr=1e-5", "scheduler={name: constant}")
    assert program("slower", f"resume_path={runs.whole.root}", "resume_all=true", *epoch) == 0
    run = RunFolder(program.folder / "slower")
    steps = [record for record in records(run) if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, 13))
    assert [record["lr"] for record in steps[9:]] == [1e-5] * 3
    assert records(run)[: len(records(runs.whole))] == records(runs.whole)
    assert program("slower", f"resume_path={runs.whole.root}", "resume_all=true", *epoch, "resume=true") == 0


def test_the_whole_state_is_refused_where_it_would_mean_something_else(program: Program, runs: Runs) -> None:
    start = (f"resume_path={runs.whole.root}", "resume_all=true")
    assert "num_epochs=4 or more goes on from there" in program.refuses(*start)
    line = program.refuses(*start, "num_epochs=4", "batch_size=4")
    assert "resume_all, but batch_size is 4 and was 8 in " in line
    assert "resume_all=false" in line


def test_a_new_run_starts_from_the_weights_alone(program: Program, runs: Runs) -> None:
    assert program("anew", f"resume_path={runs.whole.root}", "num_epochs=1", "optimizer.lr=1e-30") == 0, program.err
    run = RunFolder(program.folder / "anew")
    there, here = task_of(runs.whole.last), task_of(run.last)
    for name in (name for name in there if name.endswith("weight")):  # statistics go on
        torch.testing.assert_close(here[name], there[name], rtol=0, atol=1e-6)
    assert "what differs" not in program.out
    found = records(run)
    assert [record["step"] for record in found if record["kind"] == "step"] == [1, 2, 3]
    assert [record["kind"] for record in found][:2] == ["random_init", "validation"]
    told = account(run)
    assert told["from"] == str(runs.whole.last)
    assert sorted(told["carried"]) == sorted(task_of(runs.whole.last))


def test_the_checkpoint_of_an_epoch_is_found_by_what_it_holds(program: Program, runs: Runs, tmp_path: Path) -> None:
    other = RunFolder(tmp_path / "other")
    shutil.copytree(runs.whole.root, other.root)
    first = load_checkpoint(runs.whole.last)
    # As best.pt is written: the validation of epoch 1 is done, and the epoch not yet counted.
    first["history"] |= {"epoch": 0, "batch": 3, "step": 3}
    save_checkpoint(first, other.checkpoints / "any_name.pt")
    other.best.write_bytes(b"damaged")
    for earlier in other.checkpoints.glob("last_*.pt"):
        earlier.unlink()
    short = ("num_epochs=1", "validate_before=false", "val_interval=0")
    assert program("epoch_1", f"resume_path={other.root}", "resume_epoch=1", *short) == 0
    assert account(RunFolder(program.folder / "epoch_1"))["from"] == str(other.checkpoints / "any_name.pt")
    line = program.refuses(f"resume_path={other.root}", "resume_epoch=2")
    assert f"{other.root} has no checkpoint of epoch 2; it has those of 1 (any_name.pt), 3 (last.pt)" in line
    assert "best.pt cannot be read" in line


def test_what_is_missing_must_be_named(program: Program, runs: Runs) -> None:
    start = (f"resume_path={runs.whole.root}", "num_epochs=1", "val_interval=0", "validate_before=false")
    deeper = (*start, "hierarchy.time.layers=2", "hierarchical.regularizer.proj_dim=12")
    line = program.refuses(*deeper)
    assert "'init_missing=[" in line
    table = [row.split() for row in program.out.splitlines() if row.startswith("  ")]
    assert ["missing", "hierarchy.levels.time.blocks.1.mlp.0.weight"] in [row[:2] for row in table]
    assert any(row[:2] == ["other", "shape"] and "projector" in row[2] for row in table)
    named = line.partition("'")[2].partition("'")[0]
    assert program("deeper", *deeper, named) == 0  # what the message says works
    told = account(RunFolder(program.folder / "deeper"))
    assert any(name.startswith("hierarchy.levels.time.blocks.1") for name in told["new"])
    assert "init_missing: hierarchy.stem.* names no tensor" in program.refuses(
        *start, "init_missing=[hierarchy.stem.*]"
    )


def test_what_there_is_no_use_for_is_told(program: Program, runs: Runs) -> None:
    assert (
        program(
            "less",
            f"resume_path={runs.whole.root}/checkpoints",
            "num_epochs=1",
            *("validate_before=false", "val_interval=0", "groups=[space,time]", "hierarchy.frames_per_clip=6"),
        )
        == 0
    )
    assert "surplus" in program.out
    assert "hierarchy.levels.clip" in program.out


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["resume_path=nowhere"], ["resume_path: nowhere does not exist"]),
        (["resume_path={data}"], ["is not the folder of a run"]),
        (["resume_path={whole}/metrics.jsonl"], ["resume_path: ", "metrics.jsonl is damaged, or is none"]),
        (["resume_path={whole}/checkpoints/last.pt", "resume_epoch=1"], ["resume_epoch and resume_path disagree"]),
        (["resume_path={whole}", "task=supervised"], ["is of task hierarchical, not supervised", "encoder_checkpoint"]),
        (["resume_path={whole}", "carry_from=x"], ["carry_from and resume_path disagree"]),
        (["resume_all=true"], ["resume_all and resume_path disagree"]),
        (["init_missing=[a]"], ["init_missing and resume_path disagree"]),
        (["resume_path={whole}", "resume_all=true", "init_missing=[a]"], ["resume_all and init_missing disagree"]),
    ],
)
def test_wrong_starts_are_one_line(program: Program, runs: Runs, overrides: list[str], words: list[str]) -> None:
    places = {"whole": str(runs.whole.root), "data": str(runs.folder)}
    line = program.refuses(*(override.format(**places) for override in overrides))
    assert all(word in line for word in words), line
    assert program.err.count("\n") == 1
