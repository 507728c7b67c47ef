"""The report of a sweep: one HTML file that says what was found, and how far it can be believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweeps.folder import SweepFolder
from sweeps.report import write_report
from sweeps.table import make_table
from tests.sweeps.finished_runs import finish, sweep_of

VOID = {"meta", "link"}


class Page(HTMLParser):
    """The text of a page; AssertionError where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.links = "", list[str]()
        self.feed(html)
        assert not self.open
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = [str(value) for name, value in attrs if name in ("href", "src")]
        self.links += [link for link in links if not link.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += f" {data}"


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "a <sweep>")


def report_of(folder: SweepFolder, values: Mapping[tuple[float, str], tuple[float, ...]], fail: bool = False) -> Page:
    """Three or fewer seeds for each learning rate and isolation; tests score 10 less."""
    runs = [({"lr": lr, "iso": iso}, seed) for (lr, iso), scores in values.items() for seed in range(len(scores))]
    manifest = sweep_of(folder, runs)
    scores = [score for of_combination in values.values() for score in of_combination]
    for run, score in zip(manifest.runs, scores, strict=True):
        if fail and run.name == "a":
            folder.training(run).log.write_text("error: <b>no space</b>\nsweep.py: the run ended with status 2\n")
        else:
            finish(folder, run.name, score, score - 10)
    write_report(make_table(folder, manifest, "knn", None), folder)
    return Page(folder.report.read_text())


CLEAR = {(0.1, "strict"): (50.0, 51.0, 49.0), (0.1, "end2end"): (51.0, 49.5, 50.5), (0.2, "strict"): (70.0, 71.0, 72.0),
         (0.2, "end2end"): (71.5, 70.0, 72.5)}  # fmt: skip


def test_it_says_what_mattered(folder: SweepFolder) -> None:
    page = report_of(folder, CLEAR)
    assert "The best: lr=0.2, iso=end2end 71.3 ± 1.3 % on validation videos, 61.3 ± 1.3 % on test videos." in page.text
    assert "1 other combination is within one standard deviation of the best" in page.text
    assert (
        "The validation score of the best of 4 is flattered by having been chosen; its test score is not." in page.text
    )
    assert "0.2 is best on average; the best and the worst mean are 21.0 points apart." in page.text
    assert "iso Its effect cannot be told from chance: " in page.text
    assert "12 of 12 runs are done" in page.text
    found = json.loads(folder.json.read_text())
    lr, iso = found["effects"]
    assert (lr["key"], lr["verdict"], iso["key"], iso["verdict"]) == ("lr", "sure", "iso", "unsure")
    assert lr["share"] > 0.98
    assert [row["lr"] for row in found["rows"]] == [0.2, 0.2, 0.1, 0.1]
    assert {run["state"] for run in found["runs"]} == {"done"}
    # It fetches nothing; links lead to the reports of the runs beside it.
    assert [link for link in page.links if link != "data:,"] == [f"{name}/report.html" for name in "jklghidefabc"]


def test_it_is_honest_about_few_runs(folder: SweepFolder) -> None:
    page = report_of(folder, {(0.1, "a"): (50.0,), (0.2, "a"): (70.0,), (0.1, "b"): (10.0,)})
    assert "Some combinations were run with one seed alone" in page.text
    assert "iso 89 %" in page.text
    assert page.text.count("There are too few runs to tell an effect from chance.") == 2
    assert "too few runs to tell" in page.text


def test_what_is_not_done_is_listed_with_its_last_line_as_it_is(folder: SweepFolder) -> None:
    page = report_of(folder, CLEAR, fail=True)
    assert "1 of 12 runs are not done: they are listed below." in page.text
    assert "a failed error: <b>no space</b>" in page.text
    assert "<b>" not in folder.report.read_text()
    assert json.loads(folder.json.read_text())["runs"][-1]["state"] in ("done", "failed")


def test_a_best_that_is_below_its_floors_is_told(folder: SweepFolder) -> None:
    page = report_of(folder, {(0.1, "a"): (15.0, 16.0), (0.2, "a"): (11.0, 12.0)})
    assert "Not even the best combination is above its floors." in page.text


def test_a_sweep_without_scores_has_a_report(folder: SweepFolder) -> None:
    manifest = sweep_of(folder, [({"lr": 0.1}, 0), ({"lr": 0.2}, 0)])
    write_report(make_table(folder, manifest, "knn", None), folder)
    page = Page(folder.report.read_text())
    assert "No run has been scored yet." in page.text
    assert "What mattered" not in page.text
