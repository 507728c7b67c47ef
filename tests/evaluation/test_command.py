"""python eval.py on finished runs: their own numbers, other data, checkpoints, seeds, tables, exported features."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import main as main_module
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from evaluation.command import main
from evaluation.encoders import open_encoder
from evaluation.scoring import over_seeds
from evaluation.tables import markdown
from main import initial_task
from runs.folder import RunFolder
from runs.results import Result
from tests.conftest import TINY, TINY_VIDEOS

LEVELS = ("space", "time", "clip")
ROOT = Path(__file__).parents[2]


@dataclass
class Runs:
    """Two finished runs: one without labels in its loss, and one that was supervised."""

    folder: Path
    hierarchical: RunFolder
    supervised: RunFolder


@pytest.fixture(scope="module")
def runs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(TINY)
    videos = ", ".join(f"{split}: {count}" for split, count in TINY_VIDEOS.items())
    shared = [
        f'dataset={{name: moving_digits, root: "{tiny_dataset}", videos: {{{videos}}}, seed: 0}}',
        f"save_path={folder}",
        "figures=[]",
    ]
    for more in (["model_name=plain"], ["model_name=labelled", "task=supervised"]):
        assert main_module.main([str(folder / "small.yaml"), *shared, *more]) == 0
    return Runs(folder, RunFolder(folder / "plain"), RunFolder(folder / "labelled"))


def scored(out: Path, *arguments: object) -> list[dict[str, Any]]:
    assert main([*map(str, arguments), "--out", str(out)]) == 0
    results: list[dict[str, Any]] = json.loads((out / "results.json").read_text())["results"]
    return results


def test_a_run_is_scored_as_it_scored_itself(runs: Runs, tmp_path: Path) -> None:
    for run in (runs.hierarchical, runs.supervised):
        results = scored(tmp_path / run.root.name, run.root)
        of_run = json.loads(run.summary.read_text())["results"]
        assert [{key: result[key] for key in of_run[0]} for result in results] == of_run
        assert {result["encoder"] for result in results} == {run.root.name}
    predictions = tmp_path / "labelled" / "predictions" / "labelled-moving_digits"
    with (predictions / "supervised-program.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    top1 = next(
        r for r in json.loads(runs.supervised.summary.read_text())["results"] if r["evaluation"] == "supervised"
    )
    assert 100 * np.mean([row["truth"] == row["top1"] for row in rows]) == pytest.approx(top1["value"])
    assert all(float(row["p1"]) >= float(row["p2"]) for row in rows)
    own = runs.supervised.predictions / "supervised-program.csv"
    assert own.read_text() == (predictions / "supervised-program.csv").read_text()
    with (predictions / "supervised-program-confusion.csv").open(newline="") as file:
        assert sum(int(cell) for row in csv.reader(file) for cell in row[1:] if cell.isdigit()) == 12


def test_several_runs_make_one_table(runs: Runs, tmp_path: Path) -> None:
    results = scored(tmp_path, runs.hierarchical.root, runs.supervised.root, "--protocol", "knn", "--levels", "clip")
    shown = [result for result in results if result["primary"]]
    assert [result["encoder"] for result in shown] == ["plain"] * 3 + ["labelled"] * 3
    assert {(result["evaluation"], result["level"], result["metric"]) for result in shown} == {("knn", "clip", "top1")}
    text = (tmp_path / "results.md").read_text()
    assert "| evaluation | level | labels | metric | plain | labelled | chance | pixels |" in text
    assert "| knn | clip | program* | top1 |" in text
    with (tmp_path / "results.csv").open(newline="") as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    assert values == pytest.approx([result["value"] for result in results], rel=1e-4)


def test_a_protocol_that_the_config_lacks_has_its_default_settings_and_other_values_can_be_set(
    runs: Runs, tmp_path: Path
) -> None:
    near = "evaluations.near={protocol: knn, labels: null, settings: {k: 1}}"
    results = scored(tmp_path, runs.hierarchical.root, "--protocol", "near", "--set", near, "batch_size=5")
    assert {(result["evaluation"], result["level"], result["labels"]) for result in results} == {
        ("near", "space", "digit"),
        ("near", "time", "motion"),
        ("near", "clip", "program"),
    }


def test_other_data_brings_its_own_labels(runs: Runs, tiny_dataset: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for split in ("train", "val", "test"):
        with (tiny_dataset / f"{split}.csv").open(newline="") as file:
            paths = [row["path"] for row in csv.DictReader(file)]
        with (films / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [["path", "label", "group"], *([path, "ab"[n % 2], n // 2] for n, path in enumerate(paths))]
            )
    for path in tiny_dataset.iterdir():
        if not (films / path.name).exists() and path.suffix != ".csv" and path.name != "dataset.json":
            (films / path.name).symlink_to(path)
    data = tmp_path / "films.yaml"
    data.write_text(f"dataset: {{name: catalog, root: '{films}'}}\nwindow: {{eval_windows: 1, spread: true}}\n")
    results = scored(tmp_path / "one", runs.supervised.root, "--dataset", data)
    assert {result["dataset"] for result in results} == {"films"}
    assert {result["labels"] for result in results} == {"label"}
    assert "supervised" not in {result["evaluation"] for result in results}  # its classes are others
    folder = scored(tmp_path / "two", runs.hierarchical.root, "--dataset", films, "--protocol", "knn")
    assert {result["dataset"] for result in folder} == {"films"}


def test_checkpoints_can_be_chosen(runs: Runs, tmp_path: Path) -> None:
    for checkpoint in ("last", str(runs.hierarchical.best)):
        results = scored(tmp_path, runs.hierarchical.root, "--checkpoint", checkpoint, "--protocol", "knn")
        assert sum(result["primary"] for result in results) == 9
        assert "step" in results[0]["weights"]


def test_seeds_give_mean_and_deviation(runs: Runs, tmp_path: Path) -> None:
    results = scored(tmp_path, runs.hierarchical.root, "--protocol", "knn", "--seeds", "2", "--no-random-init")
    assert {(result["seeds"], result["std"], result["random_init"]) for result in results} == {(2, 0.0, None)}

    def result(value: float) -> Result:
        return Result("probe", "digits", "test", "clip", "program", "top1", value)

    (mean,) = over_seeds([[result(40.0)], [result(50.0)], [result(60.0)]])
    assert (mean.value, mean.std, mean.seeds) == (50.0, 10.0, 3)


def test_features_can_be_taken_away(runs: Runs, tmp_path: Path) -> None:
    file = tmp_path / "new" / "features.npz"
    assert main([str(runs.hierarchical.root), "--export-features", str(file), "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "results.json").exists()
    found = np.load(file)
    assert found["test/clip"].shape == (12, 24)
    assert found["train/space"].shape == (24, 16)
    assert found["test/labels/motion"].shape == (12, 2)
    assert found["classes/program"].shape == (12,)
    assert len(set(found["val/paths"].tolist())) == 12
    encoder = open_encoder(str(runs.hierarchical.root), "best", {})
    assert encoder.config.levels == list(LEVELS)


@pytest.mark.parametrize("task", ["hierarchical", "supervised", "vicreg", "svt"])
def test_the_floor_is_the_random_init_of_the_run(
    tiny_config: Callable[..., Config], tiny_catalogs: dict[str, Catalog], task: str, tmp_path: Path
) -> None:
    from evaluation.encoders import ScoredEncoder

    config = tiny_config(f"task={task}", root=tiny_catalogs["test"].root)
    expected = initial_task(config, tiny_catalogs, torch.device("cpu"), pretrained=False).encoder.state_dict()
    found = ScoredEncoder("x", config, torch.nn.Identity(), None, tmp_path, "").at_init().state_dict()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist; give the folder of a run, its encoder.safetensors, or a network of"),
        (["RUN", "--protocol", "kn"], "--protocol kn: neither an evaluation of the run's config nor a protocol; "),
        (["RUN", "--levels", "scene"], "--levels scene: plain has space, time, clip"),
        (["RUN", "--labels", "name"], "there is no label set name; moving_digits has"),
        (["RUN", "--checkpoint", "middle"], "--checkpoint middle: there is no middle; best, last or the path"),
        (["RUN", "--seeds", "0"], "--seeds 0: 1 or more"),
        (["RUN", "--dataset", "nothing.yaml"], "--dataset nothing.yaml: neither a YAML file nor the folder"),
        (["RUN", "--set", "batch_sizes=3"], "batch_sizes"),
        (["RUN", "RUN"], "two of the runs are called plain"),
        (["RUN", "--export-features", "features.txt"], "the name of an .npz file"),
    ],
)
def test_bad_input_is_one_line(
    runs: Runs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(runs.hierarchical.root) if word == "RUN" else word for word in arguments]
    assert main([*given, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("datset: {}\n", "datset is not a key of data_config.yaml; did you mean dataset?"),
        ("frame_size: [8, 8]\n", "it has no key dataset"),
        ("dataset: {name: catalog, root: x}\nframe_size: [8, 8]\n", "but the encoder takes [16, 24] alone"),
        ("dataset: {name: catalog, root: x}\nwindow: {spread: 3}\n", "data.yaml): expected true or false, got 3"),
    ],
)
def test_a_wrong_data_file_is_one_line(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(content)
    assert main([str(runs.hierarchical.root), "--dataset", str(file), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_as_a_process_help_and_typos_answer_without_torch(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['eval.py', '--help']; import runpy\n"
    code += "try: runpy.run_path('eval.py', run_name='__main__')\nexcept SystemExit: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: eval.py")
    assert done.stdout.endswith("False\n")
    wrong = subprocess.run(
        [sys.executable, "eval.py", str(tmp_path / "nothing")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.endswith("or a network of torchvision: s3d, r2plus1d_18, mvit_v2_s, swin3d_t\n")


def test_the_table_holds_what_names_hold() -> None:
    from evaluation.scoring import Evaluated

    result = Result("kn|n", "a|b", "test", "clip", "x", "top1", 50.0, random_init=20.0, chance=10.0, interval=4.0)
    text = markdown([Evaluated("one", "", "a|b", [result], {}, [], {}, {}, [])])
    assert "### a\\|b" in text
    assert "| kn\\|n | clip | x | top1 | 50.0 ±4.0 (20.0) | 10.0 |" in text


def test_a_protocol_that_the_run_did_not_have_takes_settings(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = "evaluations.finetune.settings={epochs: 1, few_shot: 1, choose: last, freeze: [space, time, clip]}"
    results = scored(tmp_path, runs.hierarchical.root, "--protocol", "finetune", "--no-random-init", "--set", settings)
    shown = [(result["level"], result["labels"], result["metric"]) for result in results if result["primary"]]
    assert shown == [("clip", "program", "top1")]
    assert {result["metric"] for result in results} >= {"top5", "mean_class", "ece", "acc", "acc_mv"}
    assert "1 epoch of 4 steps" in capsys.readouterr().out
    predictions = tmp_path / "predictions" / "plain-moving_digits" / "finetune-clip-program.csv"
    assert len(predictions.read_text().splitlines()) == 13


def test_other_data_are_fine_tuned_on_the_labels_of_the_last_level(
    runs: Runs, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.yaml").write_text(
        f'dataset: {{name: catalog, root: "{tiny_dataset}", labels: {{space: digit, time: motion, clip: digit}}}}\n'
    )
    settings = "evaluations.finetune.settings={epochs: 1, few_shot: 1, choose: last, freeze: [space, time, clip]}"
    asked = ["--dataset", tmp_path / "other.yaml", "--protocol", "finetune", "--no-random-init", "--set", settings]
    results = scored(tmp_path / "out", runs.hierarchical.root, *asked)
    assert {(result["level"], result["labels"]) for result in results} == {("clip", "digit")}
