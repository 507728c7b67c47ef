"""Splits, labels, classifiers and weights that do not fit each other: one line, or a result that says so."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import main
from config.schema import Config
from runs.folder import RunFolder

FEW = ("evaluations.linear_probe=null", "evaluations.supervised=null", "window.eval_windows=1", "figures=[]")
LABELS = "labels: {space: digit, time: digit, clip: digit}"


class Program:
    """main.py in this process, with a small config file and CSV files that a test writes."""

    def __init__(self, file: Path, videos: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._file, self._videos, self._capture = file, videos, capture
        self.folder = file.parent
        self.out = self.err = ""

    def rows(self, split: str, count: int) -> list[dict[str, str]]:
        """The first rows of a split of the embedded data."""
        with (self._videos / f"{split}.csv").open(newline="") as lines:
            return list(csv.DictReader(lines))[:count]

    def catalog(self, splits: Mapping[str, Sequence[dict[str, str]]], name: str = "catalog", keys: str = LABELS) -> str:
        """What stands for `dataset`: a catalog of these rows."""
        folder = self.folder / name
        folder.mkdir()
        for split, rows in splits.items():
            with (folder / f"{split}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return f'{{name: catalog, root: "{self._videos}", catalog: "{folder}", {keys}}}'

    def __call__(self, *overrides: str, name: str = "run") -> int:
        folder = self.folder / "outputs"
        status = main.main([str(self._file), f'save_path="{folder}"', f"model_name={name}", *overrides])
        self.out, self.err = self._capture.readouterr()
        return status

    def summary(self, name: str = "run") -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.run(name).summary.read_text())
        return content

    def run(self, name: str = "run") -> RunFolder:
        return RunFolder(self.folder / "outputs" / name)

    def refuses(self, *overrides: str, name: str = "refused") -> str:
        """The one line with which the program refuses, before it trains."""
        assert self(*overrides, name=name) == 2
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        assert "step 1/" not in self.out
        return line.removeprefix("error: ")


@pytest.fixture
def program(
    tmp_path: Path,
    tiny_dataset: Path,
    tiny_config: Callable[..., Config],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    monkeypatch.setattr("visualization.draw_figures", lambda *_: {})  # most of a small run's time
    values = tiny_config("num_epochs=1", "log_interval=1", *FEW, root=tiny_dataset).model_dump()
    (tmp_path / "small.yaml").write_text(json.dumps(values | {"model_name": None}))
    return Program(tmp_path / "small.yaml", tiny_dataset, capsys)


def with_digits(rows: Sequence[dict[str, str]], digits: Sequence[str]) -> list[dict[str, str]]:
    return [{"path": row["path"], "digit": digit} for row, digit in zip(rows, digits, strict=True)]


def test_without_val_csv_a_run_trains_on_the_others_and_tells_it_in_its_report(program: Program) -> None:
    train = [row | {"group": f"g{number % 6}"} for number, row in enumerate(program.rows("train", 12))]
    dataset = program.catalog({"train": train, "test": program.rows("test", 4)})
    assert program(f"dataset={dataset}") == 0
    said = "4 of 12 videos of train.csv, 2 of 6 groups, drawn with val_seed 0"
    assert f"val.csv is missing, and validation gets {said}; they are not trained on" in program.out
    assert "videos: 8 train, 4 val, 4 test" in program.out
    assert program.summary()["drawn_val"] == said
    assert said in program.run().report.read_text()
    records = [json.loads(line) for line in program.run().metrics.read_text().splitlines()]
    assert [record["windows"] for record in records if record["kind"] == "step"] == [8]
    assert program("num_epochs=2", "resume=true", f"dataset={dataset}") == 0
    assert program.summary()["drawn_val"] == said


def test_val_csv_that_is_there_is_used_and_nothing_is_told(program: Program) -> None:
    splits = {split: program.rows(split, 3) for split in ("train", "val", "test")}
    assert program(f"dataset={program.catalog(splits)}") == 0
    assert (program.summary()["drawn_val"], program.summary()["untrained"]) == (None, [])
    assert "Validation videos" not in program.run().report.read_text()


def test_classes_that_only_test_videos_show_count_as_wrong_and_are_told(program: Program) -> None:
    train = with_digits(program.rows("train", 8), ["a", "b"] * 4)
    val = with_digits(program.rows("val", 4), ["a", "b", "a", "c"])
    test = with_digits(program.rows("test", 6), ["c", "d", "d", "d", "a", "b"])
    probe = "evaluations.probe={protocol: linear_probe}"
    assert program(f"dataset={program.catalog({'train': train, 'val': val, 'test': test})}", probe) == 0
    summary = program.summary()
    place = {"dataset": "catalog", "labels": "digit"}
    assert summary["untrained"] == [
        place | {"split": "val", "videos": 1, "of": 4, "classes": ["c"]},
        place | {"split": "test", "videos": 4, "of": 6, "classes": ["c", "d"]},
    ]
    top1 = [result for result in summary["results"] if result["metric"] == "top1"]
    assert {result["evaluation"] for result in top1} == {"knn", "probe"}
    for result in top1:
        assert result["untrained"] == 4
        assert result["value"] <= 100 * 2 / 6 + 1e-6  # of all six videos, none of the four can be right
    assert "test: 4 of 6 videos have labels in column 'digit' that no training video has: c, d" in program.out
    said = "4 of 6 test videos of catalog show classes of digit that no training video shows: they count as wrong"
    assert said in " ".join(program.run().report.read_text().split())


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            [{"path": "", "label": "1"}],
            "test.csv has no column 'digit', only path, label; add it or set dataset.labels",
        ),
        ([{"path": "", "digit": "1|2"}], "test.csv, line 2: 2 labels in column 'digit', 1 in those above"),
    ],
)
def test_test_labels_of_another_kind_are_refused(program: Program, test: list[dict[str, str]], words: str) -> None:
    train, val = program.rows("train", 2), program.rows("val", 2)
    other = [row | {"path": video["path"]} for row, video in zip(test, program.rows("test", 1), strict=True)]
    assert words in program.refuses(f"dataset={program.catalog({'train': train, 'val': val, 'test': other})}")


def test_test_labels_of_another_kind_than_is_said_are_refused(program: Program) -> None:
    splits = {split: program.rows(split, 2) for split in ("train", "val", "test")}
    splits["test"][1]["digit"] = "1;2"
    keys = "labels: {space: digit, time: digit, clip: {column: digit, kind: single}}"
    dataset = program.catalog(splits, keys=keys)
    assert "test.csv, line 3: '1;2' in column 'digit' is not one class" in program.refuses(f"dataset={dataset}")


def test_a_classifier_is_not_asked_for_classes_that_it_has_not_learned(program: Program) -> None:
    splits = {split: with_digits(program.rows(split, 4), list("abab")) for split in ("train", "val", "test")}
    others = {split: with_digits(program.rows(split, 4), list("acac")) for split in ("train", "val", "test")}
    own, other = program.catalog(splits), program.catalog(others, "other")
    asked = f"evaluations.theirs={{protocol: classifier, data: {{dataset: {other}}}}}"
    message = program.refuses("task=supervised", f"dataset={own}", asked)
    assert message.startswith(
        "evaluations.theirs: the classifier learns the 2 classes of 'digit' in catalog, and the 2 of 'digit' in other "
        "are others"
    )
    same = f"evaluations.theirs={{protocol: classifier, data: {{dataset: {own}}}}}"
    assert program("task=supervised", f"dataset={own}", same) == 0
    assert {result["evaluation"] for result in program.summary()["results"]} == {"knn", "theirs"}
    # Continued with labels of other classes, its classifier does not fit any more.
    for split in splits:
        (program.folder / "other" / f"{split}.csv").replace(program.folder / "catalog" / f"{split}.csv")
    text = (program.folder / "catalog" / "train.csv").read_text().replace(",c", ",d", 1)
    (program.folder / "catalog" / "train.csv").write_text(text)
    again = ("task=supervised", f"dataset={own}", same, "resume=true", "num_epochs=2")
    assert program(*again) == 2
    assert program.err.startswith("error: the data is not that of ")
    assert program(*again, "checkpoint.other_data=true") == 2
    assert ".weight is [2, 16] there and [3, 16] here): the training videos have other classes than then" in program.err


def test_an_encoder_of_another_width_is_refused_before_the_data_is_opened(program: Program) -> None:
    dataset = program.catalog({split: program.rows(split, 2) for split in ("train", "val", "test")})
    assert program(f"dataset={dataset}") == 0
    weights = program.run().checkpoints / "encoder.safetensors"
    nowhere = "dataset={name: catalog, root: nowhere}"
    message = program.refuses(f'encoder_checkpoint="{weights}"', "architecture_space.dim=32", nowhere)
    assert message.startswith("encoder_checkpoint: ")
    assert "encoder and architecture must be those of the file" in message
    assert "[16]" in message
    assert "[32]" in message
    assert program.refuses(f'encoder_checkpoint="{weights}"', nowhere).startswith("nowhere is not a folder")
