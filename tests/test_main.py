"""The program as its command line shows it: bad input ends in one line, and every choice of the config runs."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import main
import prepare
from config.schema import Config
from runs.checkpoint import load_checkpoint

REAL_FILES = Path(__file__).resolve().parents[2] / "shared" / "data"
SPLITS = ("train", "val", "test")
LABELS = "{space: digit, time: motion, clip: program}"


@dataclass
class Program:
    """Starts main.py in this process with a small config file, and remembers what it said."""

    folder: Path
    file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""
    runs: Path = field(init=False)

    def __post_init__(self) -> None:
        self.runs = self.folder / "outputs"

    def __call__(self, *overrides: str, config: str | None = None) -> int:
        status = main.main([config or str(self.file), f'save_path="{self.runs}"', *overrides])
        self.out, self.err = self.capture.readouterr()
        return status

    def refuses(self, *overrides: str, config: str | None = None) -> str:
        """The one line with which the program refuses to start, without its `error: `."""
        assert self(*overrides, config=config) == 2
        assert self.err.startswith("error: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("error: ").rstrip("\n")

    def left(self) -> list[str]:
        """The run folders."""
        return sorted(path.name for path in self.runs.iterdir()) if self.runs.is_dir() else []

    def json(self, name: str) -> dict[str, Any]:
        """What a JSON file of the run says."""
        content: dict[str, Any] = json.loads((self.runs / "small" / name).read_text())
        return content

    def losses(self) -> dict[str, dict[str, float]]:
        """The losses of the last step."""
        lines = (self.runs / "small" / "metrics.jsonl").read_text().splitlines()
        steps = [record for record in map(json.loads, lines) if record["kind"] == "step"]
        losses: dict[str, dict[str, float]] = steps[-1]["loss"]
        return losses

    def catalog(self, root: Path, **videos: Sequence[dict[str, str]]) -> str:
        """The override for a catalog that lists the given rows of each split, out of the folder `root`."""
        folder = self.folder / "catalog"
        folder.mkdir()
        for split in SPLITS:
            with (folder / f"{split}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, ["path", "digit", "motion", "program"], extrasaction="ignore")
                writer.writeheader()
                writer.writerows(videos[split])
        return f'dataset={{name: catalog, root: "{root}", catalog: "{folder}", labels: {LABELS}}}'


@pytest.fixture
def program(
    tmp_path: Path,
    tiny_dataset: Path,
    tiny_config: Callable[..., Config],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    values = tiny_config("num_epochs=1", "figure_videos=4", "log_interval=1", root=tiny_dataset).model_dump()
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(values | {"model_name": None}))  # JSON is YAML
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path, file, capsys)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what takes most of a small run's time: test_end_to_end.py looks at the figures."""
    monkeypatch.setattr("visualization.draw_figures", lambda *_: {})


def rows_of(root: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of a dataset's CSV files."""
    tables = {}
    for split in SPLITS:
        with (root / f"{split}.csv").open(newline="") as file:
            tables[split] = list(csv.DictReader(file))
    return tables


# ----------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["optimizer.learning_rate=1"],
            [
                "unknown key optimizer.learning_rate",
                "optimizer has lr, base_lr, nominal_batch, weight_decay, final_weight_decay, name",
            ],
        ),
        (["num_epoch=3"], ["unknown key num_epoch ", "num_epochs"]),
        (["num_epochs=many"], ["num_epochs", "many"]),
        (["frame_size=[16,20]"], ["frame_size and hierarchy.patch_size disagree", "20", "frame_size=[16,24]"]),
        (
            ["window.length=7"],
            ["window.length and hierarchy.frames_per_clip disagree", "window.length=6 would fit, or window.length=8"],
        ),
        (["window.frequency=8"], ["window longer than every video", "41 frames", "has 16", "window.frequency"]),
        (["dataset={name: catalog, root: nowhere}"], ["nowhere is not a folder", "dataset.root"]),
        (["model_name=a/b"], ["model_name", "a/b"]),
        (["resume=true"], ["resume=true", "no run folder"]),
        (["num_epochs"], ["num_epochs", "key=value"]),
    ],
    ids=["key", "nearest", "type", "patch", "clips", "window", "folder", "name", "resume", "override"],
)
def test_wrong_values_are_refused_in_one_line(program: Program, overrides: list[str], words: list[str]) -> None:
    message = program.refuses(*overrides)
    for word in words:
        assert word in message
    assert program.left() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["missing.yaml", "not found"]),
        (b"a: [1\n", ["missing.yaml", "line"]),
        (b"- 1\n- 2\n", ["missing.yaml", "mapping"]),
        (b"\xff\xfe\x00", ["missing.yaml", "UTF-8"]),
    ],
    ids=["missing", "no-yaml", "list", "binary"],
)
def test_a_config_that_cannot_be_read_is_refused(program: Program, content: bytes | None, words: list[str]) -> None:
    file = program.folder / "missing.yaml"
    if content is not None:
        file.write_bytes(content)
    message = program.refuses(config=str(file))
    for word in words:
        assert word in message
    assert program.left() == []


def test_a_config_without_the_right_to_read_is_refused(program: Program, bound_by_rights: None) -> None:
    program.file.chmod(0)
    assert "cannot be read: Permission denied" in program.refuses()


def test_a_catalog_without_videos_is_refused_and_does_not_block_the_next_try(
    program: Program, tiny_dataset: Path, without_figures: None
) -> None:
    rows = rows_of(tiny_dataset)
    catalog = program.catalog(tiny_dataset, **(rows | {"val": []}))
    assert "val.csv lists no videos" in program.refuses(catalog)
    assert program.left() == []
    assert program() == 0


def test_a_file_where_save_path_should_be_is_refused(program: Program) -> None:
    program.runs.write_text("a file")
    message = program.refuses()
    assert "cannot write to" in message
    assert "save_path" in message
    assert program.runs.read_text() == "a file"


def test_a_missing_config_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.main([])
    assert stopped.value.code == 2
    assert "CONFIG" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- bad videos


@pytest.fixture
def damaged(program: Program, tiny_dataset: Path) -> str:
    """A catalog of three training videos, the second one cut off, two for validation and two for the test."""
    rows = {split: table[: 3 if split == "train" else 2] for split, table in rows_of(tiny_dataset).items()}
    root = program.folder / "videos"
    for row in (row for table in rows.values() for row in table):
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_dataset / row["path"], root / row["path"])
    cut = root / rows["train"][1]["path"]
    cut.write_bytes(cut.read_bytes()[:200])
    return program.catalog(root, **rows)


def test_more_bad_videos_than_allowed_end_the_run_and_are_listed(program: Program, damaged: str) -> None:
    message = program.refuses(damaged)
    assert message.startswith("1 of 7 videos cannot be read, more than max_bad_videos=0.01 allows")
    listed = list(csv.DictReader((program.runs / "small" / "bad_videos.csv").open(newline="")))
    assert [(row["split"], bool(row["reason"])) for row in listed] == [("train", True)]
    assert listed[0]["path"] == rows_of(program.folder / "catalog")["train"][1]["path"]
    # The list is what the user needs now: it stays, and the next start under this name says so.
    assert "bad_videos.csv lists 1 unreadable video; remove it or choose another name" in program.refuses(damaged)


def test_as_many_bad_videos_as_allowed_are_listed_and_left_out(
    program: Program, damaged: str, without_figures: None
) -> None:
    assert program(damaged, "max_bad_videos=0.9") == 0
    assert "videos: 2 train, 2 val, 2 test" in program.out
    assert program.json("summary.json")["bad_videos"] == 1
    assert (program.runs / "small" / "bad_videos.csv").read_text().count("\n") == 2


# ------------------------------------------------------------------------------------------- small and odd data


def test_one_video_per_split_is_enough(program: Program, tiny_dataset: Path, without_figures: None) -> None:
    rows = {split: table[:1] for split, table in rows_of(tiny_dataset).items()}
    assert program(program.catalog(tiny_dataset, **rows)) == 0
    assert program.json("summary.json")["test_videos"] == 1


def test_a_batch_larger_than_the_data_is_one_step(program: Program, without_figures: None) -> None:
    assert program("batch_size=1000") == 0
    assert program.json("summary.json")["steps"] == 1


@pytest.mark.parametrize("how", ["loop", "pad"])
def test_short_videos_are_used_where_that_is_asked_for(program: Program, without_figures: None, how: str) -> None:
    assert program("window.frequency=8", f"short_videos={how}") == 0
    assert f"train: 24 of 24 videos are shorter than the window's 41 frames (short_videos: {how})" in program.out
    assert program.json("summary.json")["test_videos"] == 12


def test_a_run_that_diverges_leaves_a_checkpoint_that_fits_its_records(program: Program) -> None:
    sgd = "optimizer={name: sgd, lr: 1.0e+30, weight_decay: 0.0, momentum: 0.0}"
    message = program.refuses(sgd, "scheduler={name: constant}", "max_bad_steps=2", "num_epochs=2")
    assert message.startswith("step 3: ")
    assert "last.pt has the weights from before them. Start a new run with a lower optimizer.lr" in message
    checkpoint = load_checkpoint(program.runs / "small" / "checkpoints" / "last.pt")
    lines = (program.runs / "small" / "metrics.jsonl").read_text().splitlines()
    steps = [record for record in map(json.loads, lines) if record["kind"] == "step"]
    assert [record["skipped"] for record in steps] == [False, True, True]
    assert checkpoint["trainer"]["step"] == checkpoint["history"]["step"] == steps[-1]["step"] == 3
    assert checkpoint["history"]["batch"] == 3
    assert checkpoint["history"]["bad_steps"] == 2


# ------------------------------------------------------------------------------------------------------- choices


def test_supervised_is_scored_directly(program: Program) -> None:
    assert program("task=supervised") == 0
    summary = program.json("summary.json")
    assert {terms for losses in program.losses().values() for terms in losses} == {"space", "time", "clip"}
    assert summary["task"] == "supervised"
    assert summary["supervised"]["labels"] == "program"
    assert 0 <= summary["supervised"]["top1"] <= 100
    assert f"test, supervised: {summary['supervised']['top1']:.1f} %" in program.out
    assert list(summary["knn"]) == ["space", "time", "clip"]


def test_two_levels(program: Program) -> None:
    assert program("groups=[space, time]", "frames_per_clip=6") == 0
    assert list(program.json("summary.json")["knn"]) == list(program.losses()) == ["space", "time"]


@pytest.mark.parametrize(
    ("overrides", "terms"),
    [
        (["isolation=end2end", "down_target=stem"], {"down", "variance", "covariance"}),
        (["regularizer={name: sigreg, weight: 1, num_slices: 256, proj_dim: 16, min_vectors: 32}"], {"down", "sigreg"}),
        (["regularizer={name: none}", "clip_grad_norm=null", "position_embedding=sincos"], {"down"}),
    ],
    ids=["end2end-stem", "sigreg", "none-unclipped-sincos"],
)
def test_choices_of_the_objective(
    program: Program, without_figures: None, overrides: list[str], terms: set[str]
) -> None:
    assert program(*overrides) == 0
    assert set(program.losses()["clip"]) == terms


def test_every_choice_changes_what_is_learned(program: Program, without_figures: None) -> None:
    """A key that nothing reads would run as well: here the losses of the second step must differ."""
    seen = {}
    choices = ("seed=3", "isolation=end2end", "down_target=stem", "position_embedding=sincos", "clip_grad_norm=0.001")
    for number, choice in enumerate(choices):
        assert program(choice, f"model_name=run{number}", "batch_size=12") == 0
        weights = load_checkpoint(program.runs / f"run{number}" / "checkpoints" / "last.pt")["task"]
        seen[choice] = float(sum(values.double().sum() for values in weights.values()))
    assert len(set(seen.values())) == len(choices), seen


# ------------------------------------------------------------------------------------------------ the command line


def test_print_config_shows_every_value_with_its_source_and_starts_nothing(program: Program) -> None:
    assert program("--print-config", "optimizer.lr=0.25") == 0
    lines = {line.split(":")[0].strip(): line for line in program.out.splitlines()}
    (lr,) = [line for line in program.out.splitlines() if line.startswith("  lr: ")]
    assert lr.endswith("# command line")
    assert "0.25" in lr
    assert lines["patch_size"].endswith(f"# {program.file}")
    assert program.left() == []


def test_what_print_config_prints_is_a_config(program: Program) -> None:
    assert program("--print-config", "model_name=copied") == 0
    again = program.folder / "again.yaml"
    again.write_text(program.out)
    first = [line.partition("  #")[0].rstrip() for line in program.out.splitlines()]
    assert program("--print-config", config=str(again)) == 0
    assert [line.partition("  #")[0].rstrip() for line in program.out.splitlines()] == first


def test_help_names_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in ("CONFIG", "key=value", "--print-config"):
        assert word in text


# -------------------------------------------------------------------------------------------------- real videos


def test_real_videos_from_a_csv_to_a_report(program: Program) -> None:
    source = REAL_FILES / "lips_phrases"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    with (source / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].endswith(("_01.mp4", "_02.mp4"))]
    rows = [row for row in rows if row["subject"] in ("F01", "F02", "F04")]
    assert len(rows) == 60
    raw, catalog = program.folder / "raw", program.folder / "catalog"
    for row in rows:
        (raw / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / row["path"], raw / row["path"])
    listing = program.folder / "labels.csv"
    with listing.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)

    arguments = ["--raw", str(raw), "--out", str(catalog), "--csv", str(listing), "--group-column", "subject"]
    assert prepare.main(["folder", *arguments]) == 0
    dataset = f'dataset={{name: catalog, root: "{catalog}"}}'
    assert program(dataset, "frame_size=[32, 64]", "short_videos=pad") == 0

    assert program.json("environment.json")["reading"] == {"format": "packed"}
    groups = [{row["group"] for row in table} for table in rows_of(catalog).values()]
    assert [len(group) for group in groups] == [1, 1, 1]
    assert len(set.union(*groups)) == 3  # nobody is in two splits
    summary = program.json("summary.json")
    assert summary["test_videos"] == 20
    assert summary["bad_videos"] == 0
    assert {name for by_labels in summary["knn"].values() for name in by_labels} == {"label"}
    assert summary["knn"]["clip"]["label"]["chance"] == 10
    assert (program.runs / "small" / "report.html").stat().st_size > 100_000
