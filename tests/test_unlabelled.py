"""Plain videos, of which nobody knows what they show: from a folder to an encoder, without any score."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import main
import prepare
from tests.conftest import TINY
from tests.data_utils.conftest import write_video


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare.py folder` makes of fourteen videos in no folder of a class."""
    root = tmp_path_factory.mktemp("plain")
    for number in range(14):
        write_video(root / f"raw/{number}.mp4", frames=12, first_number=50 * number)
    arguments = ["folder", "--raw", str(root / "raw"), "--out", str(root / "out"), "--workers", "1"]
    assert prepare.main(arguments) == 0
    return root / "out"


def train(dataset: Path, folder: Path, *overrides: str) -> int:
    (folder / "plain.yaml").write_text(TINY)
    given = [f'dataset={{name: catalog, root: "{dataset}"}}', f"save_path={folder}", "num_epochs=1", "batch_size=4"]
    return main.main([str(folder / "plain.yaml"), *given, *overrides])


def relabel(dataset: Path, folder: Path, splits: tuple[str, ...]) -> Path:
    """Catalogs of the same videos, of which only those of `splits` have labels."""
    folder.mkdir()
    for split in ("train", "val", "test"):
        with (dataset / f"{split}.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        for number, row in enumerate(rows):
            row["label"] = "ab"[number % 2] if split in splits else ""
        with (folder / f"{split}.csv").open("w", newline="") as lines:
            writer = csv.DictWriter(lines, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    (folder / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())
    return folder


def test_training_leaves_an_encoder_and_says_that_nothing_is_scored(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(prepared, tmp_path) == 0
    told = capsys.readouterr()
    text = told.out + told.err
    assert text.count("nothing is scored by labels, as no video has a label in column 'label'") == 1
    assert "could not be drawn" not in text
    summary = json.loads((tmp_path / "plain/summary.json").read_text())
    assert summary["own_labels"] == {}
    assert summary["results"] == []
    assert summary["skipped"].keys() >= {"knn", "linear_probe"}
    assert summary["chosen"].endswith("the last one: validation cannot choose, since out has no labels")
    assert summary["best_step"] == summary["steps"] > 0
    assert (tmp_path / "plain/checkpoints/encoder.safetensors").exists()
    assert (tmp_path / "plain/report.html").exists()


def test_labels_can_be_left_unread(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled = relabel(prepared, tmp_path / "labelled", ("train", "val", "test"))
    given = f'dataset={{name: catalog, root: "{prepared}", catalog: "{labelled}", labels: {{}}}}'
    assert train(prepared, tmp_path, given) == 0
    assert "nothing is scored by labels, as dataset.labels is empty" in capsys.readouterr().out


@pytest.mark.parametrize("splits", [("train", "val"), ("val", "test")], ids=str)
def test_a_split_without_labels_is_not_scored_and_stops_nothing(
    prepared: Path, tmp_path: Path, splits: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    partly = relabel(prepared, tmp_path / "partly", splits)
    assert train(prepared, tmp_path, f'dataset={{name: catalog, root: "{prepared}", catalog: "{partly}"}}') == 0
    summary = json.loads((tmp_path / "plain/summary.json").read_text())
    assert summary["results"] == []
    (lacking,) = {"train", "val", "test"} - set(splits)
    told = f"evaluations.knn does not score 'label' on test videos: no video of {lacking} has such a label"
    assert capsys.readouterr().out.count(told) == 1
    assert summary["failed_figures"] == {}


def test_supervised_training_needs_labels(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(prepared, tmp_path, "task=supervised") == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert error.startswith(
        "error: task: supervised learns labels, and space has none in train.csv; set dataset.labels"
    )
