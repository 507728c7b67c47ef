"""Runs that validate seldom, or never, and those without a floor: from the training to the report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from config import generated
from config.schema import Config
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder

FEW = ("evaluations.linear_probe=null", "evaluations.supervised=null", "window.eval_windows=1", "figures=[]")


class Program:
    """main.py in this process, with a small config file; its run, and what was printed last."""

    def __init__(self, file: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._file, self._capture = file, capture
        self.out = self.err = ""

    def __call__(self, *overrides: str, name: str = "run") -> RunFolder:
        folder = self._file.parent / "outputs"
        status = main.main([str(self._file), f'save_path="{folder}"', f"model_name={name}", *overrides])
        self.out, self.err = self._capture.readouterr()
        assert status == 0, self.err
        return RunFolder(folder / name)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what takes most of a small run's time."""
    monkeypatch.setattr("visualization.draw_figures", lambda *_: {})


@pytest.fixture
def program(
    tmp_path: Path,
    tiny_dataset: Path,
    tiny_config: Callable[..., Config],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    values = tiny_config("num_epochs=2", "log_interval=1", *FEW, root=tiny_dataset).model_dump()
    (tmp_path / "small.yaml").write_text(json.dumps(values | {"model_name": None}))
    monkeypatch.setattr(generated, "GENERATED", tmp_path / "generated")
    return Program(tmp_path / "small.yaml", capsys)


def validations(run: RunFolder) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [record for record in records if record["kind"] != "step"]


def summary(run: RunFolder) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.summary.read_text())
    return content


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(path)["task"]
    return state


def same_weights(one: Path, other: Path) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


def test_an_exponential_schedule_without_a_floor(program: Program) -> None:
    run = program("val_schedule=exponential", "val_factor=1.5", "num_epochs=6", "validate_before=false")
    found = validations(run)
    assert [(record["kind"], record["epoch"]) for record in found] == [("validation", n) for n in (1, 2, 3, 5, 6)]
    assert "validations: after epochs 1, 2, 3, 5, 6" in program.out
    assert all(result["random_init"] is None for record in found for result in record["results"])
    assert all(math.isfinite(result["value"]) for record in found for result in record["results"])
    assert not any("at init" in alarm for record in found for alarm in record["alarms"])
    assert "predictions of" not in " ".join(found[0]["alarms"])  # the first one after training has begun
    assert {path.name for path in run.figures.iterdir()} >= {"loss.png", "knn.png", "collapse.png"}
    # The test has its floors all the same.
    assert all(result["random_init"] is not None for result in summary(run)["results"])
    assert run.report.is_file()


def test_a_floor_changes_nothing_but_what_is_told(program: Program, without_figures: None) -> None:
    with_floor, without = program(name="with"), program("validate_before=false", name="without")
    assert [record["epoch"] for record in validations(with_floor)] == [0, 1, 2]
    assert [record["epoch"] for record in validations(without)] == [1, 2]
    assert same_weights(with_floor.last, without.last)
    values = [[r["value"] for r in record["results"]] for record in validations(with_floor)[1:]]
    assert values == [[r["value"] for r in record["results"]] for record in validations(without)]


def test_a_run_that_never_validates_takes_its_last_checkpoint_and_says_so(program: Program) -> None:
    run = program("val_interval=0", "validate_before=false", "strict_monitors=true")
    assert validations(run) == []
    assert "validations: never: the last checkpoint will be taken" in program.out
    steps = summary(run)["steps"]
    said = f"step {steps}, the last one: validation cannot choose, since val_interval is 0"
    assert summary(run)["chosen"] == said
    assert f"the encoder is that of {said}" in program.out
    assert said in run.report.read_text()
    assert same_weights(run.best, run.last)
    assert not (run.figures / "collapse.png").exists()
    # Continued, it is the last one again; and so it is where validations had chosen another one before.
    resumed = program("val_interval=0", "validate_before=false", "resume=true", "num_epochs=3")
    assert summary(resumed)["best_step"] == summary(resumed)["steps"] == steps * 3 // 2


def test_a_run_whose_validations_are_switched_off_on_the_way(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "choosing_score", lambda results, config: 50.0)
    run = program("num_epochs=1")
    monkeypatch.setattr(main, "choosing_score", lambda results, config: 10.0)  # no later one would be taken
    program("num_epochs=2", "val_interval=0", "resume=true")
    assert summary(run)["best_step"] == summary(run)["steps"]
    assert same_weights(run.best, run.last)


def test_a_schedule_counts_the_epochs_of_its_stage(program: Program) -> None:
    stages = {
        "step_1": {"groups": ["backbone", "space"], "window": {"length": 1}, "frames_per_clip": 1, "num_epochs": 1},
        "step_2": {"num_epochs": 4, "val_schedule": "exponential", "validate_before": False},
        "step_3": {"num_epochs": 1, "val_interval": 0},
        "step_4": {"num_epochs": 1, "val_interval": 0, "validate_before": False},
    }
    given = ["use_curriculum=true", f"curriculum={json.dumps(stages)}", "groups=[backbone,space,time]"]
    run = program(*given)
    found = [(record["stage"], record["kind"], record["epoch"]) for record in validations(run)]
    assert found == [
        (1, "validation", 0),
        (1, "validation", 1),
        *((2, "validation", 1 + epoch) for epoch in (1, 2, 4)),
        (3, "random_init", 5),
        (3, "validation", 5),  # of what was carried over
    ]
    chosen = [stage["chosen"] for stage in summary(run)["stages"]]
    assert ["val_interval is 0" in said for said in chosen] == [False, False, True, True]
    assert summary(run)["best_step"] == summary(run)["steps"]
    assert (run.figures / "collapse.png").is_file()
