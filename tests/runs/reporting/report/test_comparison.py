from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.errors import InputError
from runs.folder import RunFolder
from runs.process.atomic import write_json
from runs.reporting.report.comparison import grouped, score_rows, write_comparison
from runs.reporting.report.config_changes import ABSENT, changes, different_keys, flat
from runs.reporting.report.run_files import RunFiles
from tests.runs.reporting.report.html_page import Page, words

if TYPE_CHECKING:
    from tests.runs.conftest import FinishedRun

CONFIG = "seed: {seed}\nmodel_name: {name}\noptimizer:\n  name: adamw\n  lr: {lr}\n"


def run(of: FinishedRun, name: str, seed: int, lr: float, gain: float = 0, **summary: Any) -> RunFiles:
    """The run, with `gain` more percent in every score."""
    changed = copy.deepcopy(of.summary) | summary
    for result in changed.get("results", []):
        result["value"] += gain
    config = CONFIG.format(seed=seed, name=name, lr=lr)
    return RunFiles(RunFolder(of.folder.root.parent / name), config, of.environment, of.records, changed)


def test_runs_that_differ_in_their_seed_alone_are_one_group(finished_run: FinishedRun) -> None:
    runs = [run(finished_run, "a", 0, 0.1), run(finished_run, "b", 0, 0.2), run(finished_run, "c", 1, 0.1)]
    assert [(group.name, group.names) for group in grouped(runs)] == [("a and 1 more seed", ["a", "c"]), ("b", ["b"])]
    with pytest.raises(InputError, match="is given twice"):
        grouped([runs[0], runs[0]])


def test_scores_are_means_with_deviations_over_seeds_and_with_intervals_of_single_runs(
    finished_run: FinishedRun,
) -> None:
    runs = [run(finished_run, "a", 0, 0.1), run(finished_run, "b", 0, 0.2, 1), run(finished_run, "c", 1, 0.1, 4)]
    (row,) = [row for row in score_rows(grouped(runs), {"knn": "kNN"}) if row.title == "kNN · space · digit"]
    seeds, single = row.cells
    assert seeds is not None
    assert single is not None
    assert seeds.value == pytest.approx(63.9)
    assert seeds.spread == pytest.approx(2.828, abs=1e-3)
    assert single.value == pytest.approx(62.9)
    assert single.spread == 3.5
    assert seeds.random_init == pytest.approx(41.0)
    assert (seeds.chance, seeds.pixels) == (10.0, None)
    assert (seeds.is_best, single.is_best, row.own) == (True, False, True)


def test_equal_scores_have_no_best_one(finished_run: FinishedRun) -> None:
    rows = score_rows(grouped([run(finished_run, "a", 0, 0.1), run(finished_run, "b", 0, 0.2)]), {})
    assert not [cell for row in rows for cell in row.cells if cell is None or cell.is_best]


def test_the_page_shows_differences_alone(finished_run: FinishedRun, tmp_path: Path) -> None:
    runs = [run(finished_run, "a", 0, 0.1), run(finished_run, "b", 3, 0.2, 2)]
    page = Page(write_comparison(runs, tmp_path / "page.html").read_text(encoding="utf-8"))
    text = words(page)
    assert "What differs key a b optimizer.lr 0.1 0.2 The runs" in text
    assert "adamw" not in text
    assert "kNN · space · digit 61.9 % ± 3.5" in text
    assert "63.9 % ± 3.5 highest" in text
    assert re.search(r"moving_digits|kNN · space · motion", text.partition("more on other labels")[0]) is None
    charts = [attributes["aria-label"] for attributes in page.all("div") if attributes.get("class") == "chart"]
    assert any(str(label).startswith("kNN · clip · program: a from 30 at step 0") for label in charts)
    assert any(str(label).startswith("space · up: a from") and "; b from" in str(label) for label in charts)


def test_a_run_that_has_not_ended_is_shown_with_its_last_validation(finished_run: FinishedRun, tmp_path: Path) -> None:
    going = RunFiles(RunFolder(tmp_path / "going"), CONFIG.format(seed=0, name="x", lr=1), {}, finished_run.records, {})
    path = write_comparison([run(finished_run, "a", 0, 0.1), going], tmp_path / "page.html")
    text = words(Page(path.read_text(encoding="utf-8")))
    assert "Not ended, so shown with the scores of the last validation: going." in text
    assert "kNN · clip · program (validation) –" in text


def test_seeds_alone_differ_in_nothing_else(finished_run: FinishedRun, tmp_path: Path) -> None:
    runs = [run(finished_run, "a", 0, 0.1), run(finished_run, "b", 1, 0.1)]
    text = words(Page(write_comparison(runs, tmp_path / "page.html").read_text(encoding="utf-8")))
    assert "Nothing but the seed." in text


def test_configs_are_compared_value_by_value() -> None:
    first, second = flat("a: {b: 1, c: [1, 2]}\nd: x\n"), flat("a: {b: 1, c: [1, 3]}\n")
    assert different_keys([first, second]) == ["a.c", "d"]
    assert second.get("d", ABSENT) == ABSENT
    assert flat("a: [") == {}
    assert [(c.key, c.value, c.default) for c in changes("batch_size: 64\nseed: 0\nmodel_name: x\nnew: 1\n")] == [
        ("batch_size", "64", "32"),
        ("new", "1", ABSENT),
    ]


def test_what_is_no_run_is_told_in_one_line(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder; give the folder of a run"):
        RunFiles.read(tmp_path / "none")
    with pytest.raises(InputError, match=r"is not the folder of a run: it lacks config\.yaml"):
        RunFiles.read(tmp_path)
    folder = finished_run.folder
    folder.config.write_text(finished_run.config_yaml, encoding="utf-8")
    folder.metrics.write_text("", encoding="utf-8")
    assert RunFiles.read(folder.root).ended is False
    write_json(folder.summary, finished_run.summary)
    assert RunFiles.read(folder.root).results
    folder.summary.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"summary\.json is damaged"):
        RunFiles.read(folder.root)
