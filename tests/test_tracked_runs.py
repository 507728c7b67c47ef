"""Whole runs that are watched: nothing changes in them, and every number is everywhere under one name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import main
from config.schema import Config
from data_utils.batches.few_videos import OTHER_VIDEOS
from runs.metric_names import final_metrics, metrics_of
from runs.tracking import wandb_key
from tests.runs.test_metric_names import named

MakeConfig = Callable[..., Config]


@pytest.fixture
def start(
    tmp_path: Path, tiny_dataset: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Starts main.py in this process, without a key of W&B."""
    values = tiny_config("num_epochs=1", "figures=[]", "log_interval=1", root=tiny_dataset).model_dump()
    (tmp_path / "small.yaml").write_text(json.dumps(values | {"model_name": None}))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(wandb_key, "DEFAULT_FILE", tmp_path / "wandb.key")
    monkeypatch.setattr(sys, "exit", sys.exit)  # W&B's client puts its own in these places
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    return lambda *overrides: main.main([str(tmp_path / "small.yaml"), f"save_path={tmp_path}/outputs", *overrides])


def records_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def charts(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return events


def test_a_watched_run_computes_the_same_and_all_its_numbers_are_there(
    start: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert start("model_name=plain") == 0
    assert start("model_name=watched", "tracking=[wandb, tensorboard]") == 0
    plain, watched = tmp_path / "outputs/plain", tmp_path / "outputs/watched"
    encoders = [(run / "checkpoints/encoder.safetensors").read_bytes() for run in (plain, watched)]
    assert encoders[0] == encoders[1]
    assert not (plain / "tensorboard").exists()
    assert not (plain / "wandb").exists()

    summary = json.loads((watched / "summary.json").read_text())
    expected: dict[str, list[tuple[int, float]]] = {}
    for record in records_of(watched):
        for name, value in metrics_of(record).items():
            expected.setdefault(name, []).append((record["step"], value))
    for name, value in final_metrics(summary).items():
        expected.setdefault(name, []).append((summary["steps"], value))
    events = charts(watched)
    assert set(events.Tags()["scalars"]) == expected.keys()
    for name, values in expected.items():
        assert [(e.step, e.value) for e in events.Scalars(name)] == [(s, pytest.approx(v)) for s, v in values], name
        assert len({step for step, _ in values}) == len(values), f"{name} has two meanings"
    assert {"figures/loss", "figures/knn", "figures/windows"} <= set(events.Tags()["images"])
    assert (watched / f"tensorboard/{summary['best_step']:05}/clip/sprite.png").is_file()

    unknown, unused = named(set(expected), {"knn", "linear_probe"})
    assert not unknown
    # What other runs have: a curriculum, other metrics, levels without a direction.
    assert {name for name in unused if not name.endswith("/METRIC")} <= {"stage"}
    report = (watched / "report.html").read_text()
    assert "<code>test/knn/LEVEL/LABELS</code>" in report

    (part,) = (watched / "wandb").glob("offline-run-*")
    assert (part / f"run-{(watched / 'wandb/id.txt').read_text().strip()}.wandb").stat().st_size > 5000

    assert start("model_name=watched", "tracking=[tensorboard]", "resume=true", "num_epochs=2") == 0
    events = charts(watched)
    steps = [record["step"] for record in records_of(watched) if record["kind"] == "step"]
    assert [e.step for e in events.Scalars("lr")] == steps
    assert len(events.Scalars("run/steps")) == 1


def test_a_trial_is_small_unwatched_and_says_so(
    start: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    status = start("debug=true", "tracking=[wandb, tensorboard]", "wandb.mode=online", "batch_size=2")
    run = tmp_path / "outputs/small"
    assert status == 0
    assert "videos: 8 train, 12 val, 12 test" in caplog.messages
    assert OTHER_VIDEOS > 12
    assert [record["step"] for record in records_of(run) if record["kind"] == "step"] == [1, 2, 3, 4]
    (told,) = [message for message in caplog.messages if message.startswith("debug: ")]
    assert told == (
        "debug: about 4 steps an epoch, at most 32 videos in validation and test, and no tracking: "
        "the scores mean nothing"
    )
    assert json.loads((run / "summary.json").read_text())["debug"] is True
    assert "A trial (debug: true)" in (run / "report.html").read_text()
    assert "debug: true" in (run / "config.yaml").read_text()
    assert not (run / "wandb").exists()
    assert not (run / "tensorboard").exists()
    assert start("resume=true", "num_epochs=2") == 2  # its weights are those of few videos


def test_a_run_that_must_be_online_is_refused_at_once_without_a_key(
    start: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = f"dataset.root={tmp_path}/absent"
    assert start("tracking=[wandb]", "wandb.mode=online", absent) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "error: wandb.mode is online, but there is no W&B key: set WANDB_API_KEY, or write the key "
    )
    assert error.count("\n") == 1
    assert not (tmp_path / "absent").exists()
    assert not (tmp_path / "outputs").exists()
