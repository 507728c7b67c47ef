"""The benchmark of recipes: what it plans, what it repeats and what not, what it prints; and once from end to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality.__main__ import main
from benchmarks.quality.execute import gather
from benchmarks.quality.floors import measure_floors
from benchmarks.quality.plan import BOOK, FLOORS, Run, choose_recipes, plan_floors, plan_run, read_book
from benchmarks.quality.table import render, score_cell
from config.load import load_config
from config.schema import Config
from tasks.vicreg_settings import VICRegSettings

RECIPES = """
common: {figure_videos: 4}
datasets:
  small: {config: CONFIG, recipes: {rival: {num_epochs: 2}}}
recipes:
  random_init: {shows: the floor, at_init_of: ours}
  ours: {shows: the idea}
  rival: {shows: a rival, overrides: {task: vicreg, vicreg: {proj_dim: 12}}}
"""


@pytest.fixture
def book_file(tmp_path: Path, tiny_config: Callable[..., Config], tiny_dataset: Path) -> Path:
    """A recipe file with one small dataset."""
    root = tmp_path / "digits"
    shutil.copytree(tiny_dataset, root)
    config = tiny_config("num_epochs=1", root=root).model_dump() | {"model_name": None}
    (tmp_path / "small.yaml").write_text(json.dumps(config))  # JSON is YAML
    file = tmp_path / "recipes.yaml"
    file.write_text(RECIPES.replace("CONFIG", str(tmp_path / "small.yaml")))
    return file


def planned(book_file: Path, recipe: str, seed: int = 0, *overrides: str) -> Run:
    return plan_run(read_book(book_file), "small", recipe, seed, overrides)


def result(dataset: str, recipe: str, seed: int, score: float, **changes: Any) -> dict[str, Any]:
    """A small result: one level, two label sets; the second scores half of the first."""
    scores = {"clip": {"program": score, "digit": score / 2}}
    at_init = {"clip": {"program": 20.0 + seed, "digit": 10.0}}
    chances = {"program": 8.3, "digit": 10.0}
    split = {"chance": chances, "knn": scores, "linear_probe": scores}
    made = {
        "dataset": dataset,
        "recipe": recipe,
        "seed": seed,
        "fingerprint": "0123456789abcdef",
        "config": "quickstart.yaml",
        "config_settings": {},
        "overrides": {"seed": seed},
        "command": f"python main.py quickstart.yaml seed={seed}",
        "git": {"commit": "41187a456a0a", "dirty": False},
        "machine": {"device_name": "a CPU", "cpus": 2, "memory_gb": 16.0, "threads": 1, "jobs": 2},
        "budget": {"epochs": 3, "batch_size": 64, "steps": 111, "windows": 7104, "views": 2},
        "videos": {"train": 2400, "val": 480, "test": 720},
        "own_labels": {"clip": "program"},
        "val": split | {"linear_probe": None, "at_init": {"knn": at_init, "linear_probe": None}},
        "test": split | {"at_init": {"knn": at_init, "linear_probe": at_init}},
        "rank": {"clip": 33.0 + seed},
        "rank_at_init": {"clip": 21.0},
        "classifier": None,
        "alarms": [],
        "bad_steps": 0,
        "bad_videos": 0,
        "seconds": 100.0 + seed,
        "training_seconds": 60.0,
        "peak_memory_mb": 1500.0,
    }
    return made | changes


def table_rows(text: str) -> dict[tuple[str, str], list[str]]:
    """The cells of a table by recipe and level."""
    rows: dict[tuple[str, str], list[str]] = {}
    recipe = ""
    for line in text.splitlines():
        if line.startswith("| "):
            first, level, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            recipe = first or recipe
            rows[recipe, level] = cells
    return rows


# ------------------------------------------------------------------------------------------------------------- plan


def test_every_shipped_recipe_is_a_valid_config_at_equal_budget() -> None:
    book = read_book(BOOK)
    assert {"default", "end2end", "siamese", "svt", "supervised"} <= set(choose_recipes(book, []))
    budgets = {}
    for recipe in choose_recipes(book, []):
        run = plan_run(book, "digits", recipe, 1, [])
        config = load_config(run.config, run.overrides).config
        assert config.seed == 1
        assert config.val_interval == config.num_epochs
        budgets[recipe] = (config.num_epochs, config.batch_size)
    assert budgets.pop("supervised")[0] > budgets["default"][0]  # on purpose: a ceiling has to be reached
    assert len(set(budgets.values())) == 1


def test_a_fingerprint_is_of_what_is_computed(book_file: Path, tmp_path: Path) -> None:
    run = planned(book_file, "ours")
    for same in ("num_workers=1", "figure_videos=5", f"save_path={tmp_path}", f"dataset.root={tmp_path}/elsewhere"):
        assert planned(book_file, "ours", 0, same).fingerprint == run.fingerprint, same
    assert planned(book_file, "ours", 1).fingerprint == run.fingerprint
    others = [
        planned(book_file, "rival"),
        planned(book_file, "ours", 0, "batch_size=4"),
        planned(book_file, "ours", 0, "dataset.seed=1"),
        planned(book_file, "ours", 0, "num_epochs=2"),
    ]
    assert len({run.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_the_floors_depend_on_the_data_alone(book_file: Path) -> None:
    book = read_book(book_file)
    floors = plan_floors(book, "small", [])
    assert floors.name == "small-floors"
    assert floors.description["command"].startswith("python -m benchmarks.quality.floors small.yaml floors.json")
    assert plan_floors(book, "small", ["optimizer.lr=1", "num_epochs=9"]).fingerprint == floors.fingerprint
    assert plan_floors(book, "small", ["frame_size=[24,24]"]).fingerprint != floors.fingerprint


def test_later_layers_win(book_file: Path) -> None:
    def epochs(*overrides: str) -> list[int]:
        runs = [planned(book_file, recipe, 0, *overrides) for recipe in ("ours", "rival")]
        return [load_config(run.config, run.overrides).config.num_epochs for run in runs]

    assert epochs() == [1, 2]
    assert epochs("num_epochs=5") == [5, 5]
    run = planned(book_file, "rival")
    config = load_config(run.config, run.overrides).config
    assert (config.task, config.val_interval, config.figure_videos) == ("vicreg", 2, 4)
    assert config.section(VICRegSettings).proj_dim == 12


def test_a_description_tells_the_config_and_no_place_on_this_machine(book_file: Path, tmp_path: Path) -> None:
    run = planned(book_file, "rival", 3, f"dataset.root={tmp_path}")
    assert str(tmp_path) not in json.dumps(run.description)
    assert run.description["overrides"]["vicreg.proj_dim"] == 12
    assert run.description["config_settings"]["frame_size"] == [16, 24]
    assert run.description["command"].startswith("python main.py small.yaml ")
    for argument in ("task=vicreg", "seed=3", "num_epochs=2"):
        assert f" {argument}" in run.description["command"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shows: the idea", "show: the idea", "unknown key recipes.ours.show (recipes.yaml)"),
        ("at_init_of: ours", "at_init_of: nobody", "recipes.random_init (recipes.yaml): at_init_of names another"),
        ("recipes: {rival", "recipes: {rivals", "datasets.small.recipes (recipes.yaml): there is no recipe rivals"),
        ("  rival: {shows", "  a/b: {shows", "'a/b' is to name files"),
    ],
)
def test_a_wrong_recipe_file_is_told_in_one_line(
    book_file: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str
) -> None:
    book_file.write_text(book_file.read_text().replace(old, new))
    assert main(["--recipe-file", str(book_file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "lips", "--table"], "has no results of these datasets"),
        (["--dataset", "lips"], "--dataset lips: recipes.yaml has small; give others as lips=CONFIG"),
        (["--recipe", "best"], "--recipe best: there are random_init, ours, rival"),
        (["--jobs", "0"], "--jobs 0: expected 1 or more"),
        (["--table"], "has no results of these datasets"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    book_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["--recipe-file", str(book_file), "--results", str(tmp_path / "results"), *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------------------------------------------------ table


def test_the_table_is_drawn_from_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for recipe, scores in {"default": (70.0, 80.0, 90.0), "siamese": (50.0,)}.items():
        for seed, score in enumerate(scores):
            file = tmp_path / f"digits-{recipe}-{seed}.json"
            file.write_text(json.dumps(result("digits", recipe, seed, score)))
    assert main(["--table", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "### digits (2400 train, 480 val, 720 test videos)" in text
    rows = table_rows(text)
    assert [recipe for recipe, _ in rows] == ["recipe", "chance", "random_init", "default", "siamese"]
    # Seeds: Student's t of three values 10 apart; one seed: Wilson's interval of 720 videos.
    assert rows["default", "clip"][:2] == ["**80.0 ± 24.8 s**", "40.0 ± 12.4 s"]
    assert rows["siamese", "clip"][:2] == ["**50.0 ± 3.6 v**", "25.0 ± 3.2 v"]
    assert rows["default", "clip"][4:] == ["34.0", "7104", "2", "3 x 64", "111", "101 (60)", "1500", "0", "3"]
    assert rows["random_init", "clip"][0] == "**21.0 ± 3.0 v**"
    assert rows["random_init", "clip"][4:7] == ["21.0", "0", "0"]
    assert rows["chance", ""][:4] == ["8.3", "10.0"] * 2
    assert "- `default`: the recipe of the config as it is shipped. `python main.py quickstart.yaml seed=0`" in text
    assert "seeds 0, 1, 2; commit 41187a4; a CPU, 2 CPUs, threads of a run: 1, runs side by side: 2." in text


def test_the_table_of_validation_videos_tells_what_was_not_measured() -> None:
    book = read_book(BOOK)
    rows = table_rows(render([result("digits", "default", 0, 60.0)], book, "val"))
    assert rows["default", "clip"][:4] == ["**60.0 ± 4.4 v**", "30.0 ± 4.1 v", "–", "–"]


def test_results_of_different_configs_are_not_averaged() -> None:
    book = read_book(BOOK)
    results = [
        result("digits", "default", 0, 60.0),
        result("digits", "default", 1, 80.0, fingerprint="fedcba9876543210"),
    ]
    rows = table_rows(render(results, book, "test"))
    assert rows["default (01234567)", "clip"][0].startswith("**60.0")
    assert rows["default (fedcba98)", "clip"][0].startswith("**80.0")


def test_datasets_have_tables_of_their_own_and_settings_of_foreign_configs_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lips = {"config": "lips.yaml", "config_settings": {"frame_size": [36, 72], "num_epochs": 20}}
    classifier = {"top1": 99.0, "labels": "program"}
    results = [
        result("lips", "default", 0, 40.0, **lips),
        result("digits", "supervised", 0, 97.0, classifier=classifier, git={"commit": None, "dirty": None}),
    ]
    for made in results:
        (tmp_path / f"{made['dataset']}.json").write_text(json.dumps(made))
    assert main(["--table", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.index("### digits") < text.index("### lips")
    assert "(lips.yaml: `frame_size: [36, 72]; num_epochs: 20`)" in text
    assert "Its own classifier knows 99.0 ± 0.8 v % of program." in text
    assert main(["--table", "--results", str(tmp_path), "--dataset", "lips"]) == 0
    assert "### digits" not in (text := capsys.readouterr().out)
    assert "### lips" in text


def test_the_larger_interval_counts() -> None:
    assert score_cell([], 100) == "–"
    assert score_cell([50.0], 400) == "50.0 ± 4.9 v"
    assert score_cell([49.9, 50.1], 400) == "50.0 ± 4.9 v"
    assert score_cell([40.0, 60.0], 400) == "50.0 ± 127.1 s"


# ----------------------------------------------------------------------------------------- what is run and what is not


def test_what_has_a_result_of_the_same_config_is_not_repeated(
    book_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for recipe in ("ours", "rival"):
        for seed in (0, 1):
            made = result("small", recipe, seed, 50.0, fingerprint=planned(book_file, recipe).fingerprint)
            made["val"]["linear_probe"] = made["val"]["knn"]
            (results / f"small-{recipe}-{seed}.json").write_text(json.dumps(made))
    before = {file: file.read_bytes() for file in results.iterdir()}
    options = ["--recipe-file", str(book_file), "--results", str(results), "--out", str(tmp_path / "runs")]
    assert main([*options, "--seeds", "2", "--jobs", "2", "--skip-floors"]) == 0
    out = capsys.readouterr().out
    assert out.count("complete already") == 4
    assert ("random_init", "clip") in table_rows(out)
    assert not (tmp_path / "runs").exists()
    assert {file: file.read_bytes() for file in results.iterdir()} == before


def test_a_failed_run_is_told_and_stops_no_other(
    book_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rival's config is wrong; ours has a result of another config, and its folder is taken; one is complete."""
    book_file.write_text(
        book_file.read_text().replace("proj_dim: 12", "proj_dim: none") + "  third: {shows: another}\n"
    )
    results = tmp_path / "results"
    results.mkdir()
    old = result("small", "ours", 0, 50.0)
    (results / "small-ours-0.json").write_text(json.dumps(old))
    third = result("small", "third", 0, 50.0, fingerprint=planned(book_file, "third").fingerprint)
    (results / "small-third-0.json").write_text(json.dumps(third))
    taken = tmp_path / "runs" / f"small-ours-0-{planned(book_file, 'ours').fingerprint[:8]}"
    taken.mkdir(parents=True)
    (taken / "thesis").write_text("nobody's but its owner's")
    options = ["--recipe-file", str(book_file), "--results", str(results), "--out", str(tmp_path / "runs")]
    assert main([*options, "--seeds", "1", "--skip-floors", "--skip-val-probes"]) == 1
    out, err = capsys.readouterr()
    assert "small, rival, seed 0: failed: vicreg.proj_dim (command line): expected a whole number, got 'none'" in out
    assert f"small, ours, seed 0: failed: run folder {taken} exists without a checkpoint to resume from" in out
    assert [path.name for path in taken.iterdir()] == ["thesis"]
    assert "small, third, seed 0: complete already" in out
    assert err.startswith("\n2 of 3 runs failed:\n")
    assert json.loads((results / "small-ours-0.json").read_text()) == old


def test_a_damaged_result_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits-default-0.json").write_text('{"dataset": "digits"')
    assert main(["--table", "--results", str(tmp_path)]) == 2
    assert "digits-default-0.json is damaged" in capsys.readouterr().err
    (tmp_path / "digits-default-0.json").write_text("{}")
    assert main(["--table", "--results", str(tmp_path)]) == 2
    assert "digits-default-0.json is not a result of a run (dataset is missing)" in capsys.readouterr().err


def test_scores_are_those_of_the_checkpoint_that_is_tested() -> None:
    def score(top1: float) -> dict[str, dict[str, dict[str, float]]]:
        return {"clip": {"program": {"top1": top1, "random_init": 10.0, "chance": 8.0, "interval": 2.0}}}

    summary = {
        "knn": score(70.0),
        "linear_probe": score(60.0),
        "rank": {"clip": {"final": 30.0, "random_init": 20.0}},
        "own_labels": {"clip": "program"},
        "alarms": ["step 2: rank of clip fell"],
        **dict.fromkeys(("epochs", "steps", "best_step", "bad_steps", "bad_videos"), 2),
        **dict.fromkeys(("wall_seconds", "peak_memory_mb"), 9.0),
    }
    records: list[Mapping[str, Any]] = [
        {"kind": "validation", "step": 0, "knn": score(10.0)},
        {"kind": "step", "step": 1, "windows": 64, "seconds": 1.5},
        {"kind": "step", "step": 2, "windows": 61, "seconds": 2.5},
        {"kind": "validation", "step": 2, "knn": score(55.0)},
        {"kind": "validation", "step": 4, "knn": score(44.0)},
    ]
    scored = {"views": 3, "batch_size": 64, "videos": {"train": 9}, "linear_probe": None}
    found = gather(summary, records, scored)
    assert found["val"]["knn"] == {"clip": {"program": 55.0}}
    assert found["test"]["knn"] == {"clip": {"program": 70.0}}
    assert found["test"]["at_init"]["linear_probe"] == {"clip": {"program": 10.0}}
    assert found["test"]["chance"] == {"program": 8.0}
    assert found["budget"] == {"epochs": 2, "batch_size": 64, "steps": 2, "windows": 125, "views": 3}
    assert (found["training_seconds"], found["rank"], found["alarms"]) == (4.0, {"clip": 30.0}, summary["alarms"])


# ----------------------------------------------------------------------------------------------------------- floors


def test_floors_of_any_dataset(tiny_config: Callable[..., Config], tiny_dataset: Path) -> None:
    config = tiny_config(root=tiny_dataset)
    found = measure_floors(config)
    assert found["videos"] == {"train": 24, "val": 12, "test": 12}
    for split in ("val", "test"):
        assert set(found[split]["chance"]) == {"program", "motion", "digit"}
        for kind in ("knn", "linear_probe"):
            assert list(found[split][kind]) == ["mean frame", "frames in order", "frame differences"]
            for by_label in found[split][kind].values():
                assert set(by_label) == {"program", "motion", "digit"}
                assert all(0 <= score <= 100 for score in by_label.values())


# ------------------------------------------------------------------------------------------------------- end to end


def test_floors_is_no_name_of_a_recipe() -> None:
    assert FLOORS not in read_book(BOOK).recipes


@pytest.mark.slow
def test_two_recipes_from_end_to_end(book_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, runs = tmp_path / "results", tmp_path / "runs"
    options = ["--recipe-file", str(book_file), "--results", str(results), "--out", str(runs), "--seeds", "1"]
    assert main([*options, "--threads", "1"]) == 0
    out = capsys.readouterr().out
    rows = table_rows(out)
    floors = [("chance", ""), ("mean frame", ""), ("frames in order", ""), ("frame differences", "")]
    levels = ("space", "time", "clip")
    assert list(rows)[1:] == floors + [(r, level) for r in ("random_init", "ours", "rival") for level in levels]
    assert {file.stem for file in results.iterdir()} == {"small-floors", "small-ours-0", "small-rival-0"}
    ours, rival = (json.loads((results / f"small-{name}-0.json").read_text()) for name in ("ours", "rival"))
    assert ours["budget"] == {"epochs": 1, "batch_size": 8, "steps": 3, "windows": 24, "views": 1}
    assert rival["budget"] == {"epochs": 2, "batch_size": 8, "steps": 6, "windows": 48, "views": 2}
    folder = runs / f"small-ours-0-{ours['fingerprint'][:8]}"
    summary = json.loads((folder / "summary.json").read_text())
    for kind in ("knn", "linear_probe"):
        for level in levels:
            assert ours["test"][kind][level] == {name: s["top1"] for name, s in summary[kind][level].items()}
            assert set(ours["val"][kind][level]) == {"program", "motion", "digit"}
    assert all(str(tmp_path) not in file.read_text() for file in results.iterdir())

    # One run lost its result, another was interrupted after its last epoch: neither is trained again.
    (results / "small-ours-0.json").unlink()
    (results / "small-rival-0.json").unlink()
    interrupted = runs / f"small-rival-0-{rival['fingerprint'][:8]}"
    (interrupted / "summary.json").unlink()
    assert main([*options, "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "small, floors, seed 0: complete already" in out
    assert "at step 6 of 6" in (runs / f"{interrupted.name}.log").read_text()
    again, rival_again = (json.loads((results / f"small-{name}-0.json").read_text()) for name in ("ours", "rival"))
    assert again == ours
    for key in ("budget", "val", "test", "rank", "fingerprint"):
        assert rival_again[key] == rival[key], key


def test_an_override_may_be_spelled_as_before_sections(book_file: Path) -> None:
    old, new = (planned(book_file, "ours", 0, f"{key}=end2end") for key in ("isolation", "hierarchical.isolation"))
    assert old.fingerprint == new.fingerprint != planned(book_file, "ours").fingerprint
