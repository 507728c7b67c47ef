"""What a run leaves: results that no figure can cost, names as they are, and how the checkpoint was chosen."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import main
import visualization
from config.schema import Config
from runs.folder import RunFolder

SPLITS = ("train", "val", "test")


@dataclass
class Program:
    """main.py in this process, on `tiny_dataset` with labels of our own."""

    folder: Path
    dataset: Path
    file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""

    def __call__(self, label: Callable[[str, int], str], column: str, *overrides: str) -> RunFolder:
        """Trains to the end; `label` gives the label of a split's video number n."""
        catalog = self.folder / "catalog"
        catalog.mkdir()
        for split in SPLITS:
            with (self.dataset / f"{split}.csv").open(newline="") as file:
                paths = [row["path"] for row in csv.DictReader(file)]
            with (catalog / f"{split}.csv").open("w", newline="") as file:
                rows = [[path, label(split, number)] for number, path in enumerate(paths)]
                csv.writer(file).writerows([["path", column], *rows])
        names = {"space": column, "time": column, "clip": column}
        dataset = {"name": "catalog", "root": str(self.dataset), "catalog": str(catalog), "labels": names}
        arguments = [str(self.file), f"dataset={json.dumps(dataset)}", *overrides]
        status = main.main(arguments)
        self.out, err = self.capture.readouterr()
        assert (status, err) == (0, "")
        return RunFolder(self.folder / "outputs" / "small")


@pytest.fixture
def program(
    tmp_path: Path, tiny_dataset: Path, tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> Program:
    file = tmp_path / "small.yaml"
    config = tiny_config("num_epochs=3", "figures=[]", f'save_path="{tmp_path / "outputs"}"', root=tiny_dataset)
    file.write_text(json.dumps(config.model_dump() | {"model_name": None}))
    return Program(tmp_path, tiny_dataset, file, capsys)


def test_names_that_look_like_formulas_cost_nothing(program: Program, recwarn: pytest.WarningsRecorder) -> None:
    names = ["Ba$$in", "$a_$", "plain"]
    run = program(lambda split, number: names[number % 3], "$kind$ of $act$", "num_epochs=1", "figures=[pca]")
    summary = json.loads(run.summary.read_text())
    assert summary["failed_figures"] == {}
    assert set(summary["knn"]["clip"]) == {"$kind$ of $act$"}
    assert {path.name for path in run.figures.iterdir()} >= {"windows.png", "loss.png", "knn.png", "pca.png"}
    assert "$kind$ of $act$" in run.report.read_text()
    assert not [warning for warning in recwarn if "matplotlib" in warning.filename]


def test_a_figure_that_fails_costs_no_other_and_no_result(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        run = RunFolder(program.folder / "outputs" / "small")
        assert run.summary.exists()  # the results are there before any figure is drawn
        assert run.report.exists()
        raise ValueError("no picture\nof this")

    monkeypatch.setattr(visualization, "draw_embeddings", fail)
    run = program(lambda split, number: "ab"[number % 2], "kind", "num_epochs=1", "figures=[pca, tsne]")
    assert program.out.count("could not be drawn") == 2
    assert "warning: figure pca.png could not be drawn: ValueError: no picture of this\n" in program.out
    failed = dict.fromkeys(("pca.png", "tsne.png"), "ValueError: no picture of this")
    assert json.loads(run.summary.read_text())["failed_figures"] == failed
    report = run.report.read_text()
    assert report.count("could not be drawn: ValueError: no picture of this") == 2
    assert {path.name for path in run.figures.iterdir()} >= {"windows.png", "loss.png", "knn.png", "collapse.png"}
    pictures = {path.stem for path in run.figures.glob("*.png")} - {
        "loss",
        "knn",
        "collapse",
        "pace",
    }  # which are curves there
    assert report.count("data:image/png") == len(pictures)


LABELS: dict[str, Callable[[str, int], str]] = {
    "one class": lambda split, number: "unlabelled",
    "one class in validation": lambda split, number: "a" if split == "val" else "ab"[number % 2],
}


@pytest.mark.parametrize("kind", LABELS)
def test_where_validation_cannot_choose_the_last_checkpoint_is_taken_and_that_is_told(
    program: Program, kind: str
) -> None:
    run = program(LABELS[kind], "label")
    summary = json.loads(run.summary.read_text())
    assert summary["best_step"] == summary["steps"] == 9
    chosen = "step 9, the last one: validation cannot choose, since all validation videos have the same label"
    assert summary["chosen"] == chosen
    assert f"warning: the encoder is that of {chosen}\n" in program.out
    assert f"of {chosen}" in run.report.read_text()
    assert json.loads((run.checkpoints / "encoder.json").read_text())["step"] == 9
