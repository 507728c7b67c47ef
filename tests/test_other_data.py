"""A run that trains on one dataset and is scored on another, with other labels and other windows; or on none at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import experiment
import main
from config.evaluations import data_of
from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoding import encode_split
from protocols.knn import KNNSettings, knn_scores
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder
from tasks import build_task
from tests.protocols.clouds import values

SPLITS = ("train", "val", "test")
CPU = torch.device("cpu")


def write_catalog(folder: Path, dataset: Path, column: str, label: Callable[[int], str]) -> None:
    """CSV files that list a dataset's videos with labels of our own."""
    folder.mkdir()
    for split in SPLITS:
        with (dataset / f"{split}.csv").open(newline="") as file:
            paths = [row["path"] for row in csv.DictReader(file)]
        with (folder / f"{split}.csv").open("w", newline="") as file:
            rows = [[path, label(number)] for number, path in enumerate(paths)]
            csv.writer(file).writerows([["path", column], *rows])


@dataclass
class Program:
    """main.py in this process, on `tiny_dataset`; beside it lies a catalog of the same videos with other labels."""

    folder: Path
    file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""

    def __call__(self, *overrides: str) -> RunFolder:
        status = main.main([str(self.file), *overrides])
        self.out, err = self.capture.readouterr()
        assert (status, err) == (0, "")
        return RunFolder(self.folder / "outputs" / "small")

    def evaluation(self, **more: Any) -> str:
        """The override that adds the evaluation `act`."""
        dataset = {
            "name": "catalog",
            "root": str(self.dataset),
            "catalog": str(self.folder / "acts"),
            "labels": {"space": "act", "time": "act", "clip": "act"},
        }
        window = {"frequency": 2, "eval_windows": 1}
        data = {"dataset": dataset, "window": window}
        settings = {"k": 3, "bank": 9}
        evaluation = {"protocol": "knn", "when": ["validation", "test"], "data": data, "settings": settings}
        return f"evaluations.act={json.dumps(evaluation | more)}"

    @property
    def dataset(self) -> Path:
        """Where the videos are."""
        return Path(json.loads(self.file.read_text())["dataset"]["root"])


@pytest.fixture
def program(
    tmp_path: Path, tiny_dataset: Path, tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> Program:
    file = tmp_path / "small.yaml"
    config = tiny_config("num_epochs=2", "figures=[pca]", f'save_path="{tmp_path / "outputs"}"', root=tiny_dataset)
    file.write_text(json.dumps(config.model_dump() | {"model_name": None}))
    write_catalog(tmp_path / "acts", tiny_dataset, "act", lambda number: ["sit", "run", "fall"][number % 3])
    return Program(tmp_path, file, capsys)


def records_of(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_scores_on_another_dataset_with_its_own_labels_and_windows(program: Program) -> None:
    run = program(program.evaluation(), "choose_by=act")
    summary = json.loads(run.summary.read_text())
    assert set(summary["knn"]["clip"]) == {"program", "motion", "digit"}
    assert set(summary["act"]["clip"]) == {"act"}
    flat = [result for result in summary["results"] if result["evaluation"] == "act"]
    assert {(result["dataset"], result["labels"], result["own"]) for result in flat} == {("acts", "act", True)}
    assert summary["own_labels"] == {"space": "digit", "time": "motion", "clip": "program"}

    # As it is measured by hand: the same videos, but every second frame of one window, and the other labels.
    config = load_config(str(run.config)).config
    evaluation = config.evaluations["act"]
    assert evaluation is not None
    data = data_of(config, evaluation.data)
    list_of_bad = program.folder / "bad.csv"
    catalogs = open_catalogs(data, data.groups, list_of_bad)
    task = build_task(config, catalogs["train"])
    task.load_state_dict(load_checkpoint(run.best)["task"])
    bad = BadVideos(list_of_bad, 48, 0.0, "digits")
    bank, queries = (encode_split(task.encoder, catalogs[split], data, CPU, bad) for split in ("train", "test"))
    labels = {str(level): ["act"] for level in config.levels}
    expected = values(knn_scores(bank, queries, labels, KNNSettings(k=3)))
    for level, by_labels in expected.items():
        assert summary["act"][level]["act"]["top1"] == pytest.approx(by_labels["act"])
    own = open_catalogs(config, config.groups, list_of_bad)
    by_own_windows = encode_split(task.encoder, own["test"], config, CPU, BadVideos(list_of_bad, 48, 0.0, "digits"))
    assert abs(by_own_windows.features[1]["clip"] - queries.features[1]["clip"]).max() > 1e-4

    # What chose the checkpoint: the mean over the levels on the other dataset's validation videos.
    validations = [record for record in records_of(run) if record["kind"] == "validation"]
    means = {r["step"]: sum(by["act"]["top1"] for by in r["act"].values()) / 3 for r in validations[1:]}
    assert summary["best_step"] == max(step for step, mean in means.items() if mean == max(means.values()))
    assert f"highest ({max(means.values()):.1f} %)" in summary["chosen"]
    assert {path.stem for path in run.figures.iterdir()} >= {"knn", "act", "pca"}
    assert "k nearest neighbours (act)" in run.report.read_text()
    for words in ("videos of evaluations.act: 24 train, 12 val, 12 test", "epoch 2: kNN (act) on validation videos, %"):
        assert words in program.out


def test_levels_and_labels_of_an_evaluation_can_be_chosen(program: Program) -> None:
    near = "{protocol: knn, when: [test], levels: [clip, space], labels: [motion, digit], settings: {k: 1}}"
    own = "{protocol: linear_probe, labels: null}"
    run = program(f"evaluations={{near: {near}, own: {own}}}", "num_epochs=1", "figures=[]")
    summary = json.loads(run.summary.read_text())
    assert {level: list(by) for level, by in summary["near"].items()} == {
        "space": ["motion", "digit"],
        "clip": ["motion", "digit"],
    }
    assert {level: list(by) for level, by in summary["own"].items()} == {
        "space": ["digit"],
        "time": ["motion"],
        "clip": ["program"],
    }
    for level, by_labels in summary["own"].items():
        for name, score in by_labels.items():
            assert score == summary["linear_probe"][level][name]
    assert "near" not in records_of(run)[0]


def refused(program: Program, *overrides: str) -> str:
    assert main.main([str(program.file), *overrides]) == 2
    err = program.capture.readouterr().err
    assert err.count("\n") == 1
    return err


def test_data_that_is_not_there_is_told_before_anything_trains(program: Program) -> None:
    away = program.evaluation(data={"dataset": {"name": "catalog", "root": "nowhere"}})
    assert "error: evaluations.act: " in refused(program, away)
    assert "there is no label set jump; acts has act" in refused(program, program.evaluation(labels=["jump"]))
    assert not (program.folder / "outputs" / "small").exists()


# -------------------------------------------------------------------------------------------------- without labels


@pytest.fixture
def without_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own videos have no labels; those of the catalog `acts` keep theirs."""

    def opened(config: Config, *more: Any) -> dict[str, Catalog]:
        catalogs = open_catalogs(config, *more)
        if config.dataset.name == "moving_digits":
            for catalog in catalogs.values():
                catalog.labels.clear()
        return catalogs

    monkeypatch.setattr(experiment, "open_catalogs", opened)


@pytest.mark.usefixtures("without_labels")
def test_videos_without_labels_train_and_the_last_checkpoint_is_taken(program: Program) -> None:
    run = program()
    summary = json.loads(run.summary.read_text())
    assert summary["results"] == []
    assert summary["skipped"]["knn"] == "moving_digits has no labels"
    assert summary["best_step"] == summary["steps"] == 6
    assert summary["chosen"] == "step 6, the last one: validation cannot choose, since moving_digits has no labels"
    assert set(summary["rank"]) == {"space", "time", "clip"}
    assert summary["failed_figures"] == {}
    assert {path.stem for path in run.figures.glob("*.png")} == {
        *("windows", "loss", "pace", "collapse", "pca", "epochs")
    }
    assert "warning: evaluations.knn is skipped: moving_digits has no labels" in program.out
    report = run.report.read_text()
    assert "This run was not scored." in report
    assert "knn was skipped: moving_digits has no labels." in report


@pytest.mark.usefixtures("without_labels")
def test_videos_without_labels_can_be_scored_on_others(program: Program) -> None:
    run = program(program.evaluation(), "choose_by=act", "num_epochs=1")
    summary = json.loads(run.summary.read_text())
    assert {result["evaluation"] for result in summary["results"]} == {"act"}
    assert set(summary["skipped"]) == {"knn", "linear_probe", "supervised"}
    assert "which validation scores highest" in summary["chosen"] or "scores 100 %" in summary["chosen"]
