"""The table: the best first, over seeds, with floors; by what, on which videos, and what is not done."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from config.errors import InputError
from sweeps.folder import SweepFolder
from sweeps.scores import Measure
from sweeps.table import Table, as_csv, as_text, make_table, record
from tests.sweeps.finished_runs import finish, sweep_of

TWO = [({"lr": lr, "groups": ["space", "time"]}, seed) for lr in (0.1, 0.2) for seed in (0, 1)]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "rates")


@pytest.fixture
def table(folder: SweepFolder) -> Table:
    """Validation prefers 0.2, the test 0.1; of 0.2 one seed of two is done."""
    manifest = sweep_of(folder, TWO)
    for name, val, test in (("a", 50.0, 80.0), ("b", 54.0, 84.0), ("c", 70.0, 60.0)):
        finish(folder, name, val, test, init=20.0 if name != "b" else 30.0)
    folder.training(manifest.runs[3]).log.write_text("error: no space\nsweep.py: the run ended with status 2\n")
    return make_table(folder, manifest, "knn", None)


def test_validation_orders_the_rows_and_the_test_stands_beside(table: Table) -> None:
    assert (table.measure, table.split, table.unit) == (Measure("knn"), "val", "%")
    assert [row.values["lr"] for row in table.rows] == [0.2, 0.1]
    best, second = table.rows
    assert (str(best.spread("val")), str(best.spread("test"))) == ("70.0", "60.0")
    assert (str(second.spread("val")), str(second.spread("test"))) == ("52.0 ± 2.8", "82.0 ± 2.8")
    assert str(second.spread("val", "random_init")) == "25.0 ± 7.1"
    assert str(second.spread("val", "chance")) == "10.0 ± 0.0"
    assert (best.states, second.states) == ("1 of 2 done, 1 failed", "2 of 2 done")
    assert table.runs[1].outcome.reason == "error: no space"


def test_the_text_of_the_table(table: Table) -> None:
    assert table.title == (
        "knn, mean of the levels on their own labels, %, on validation videos: mean ± standard deviation over seeds"
    )
    assert as_text(table).splitlines() == [
        "  #  lr   groups         validation (init, chance)  test        s per run  runs",
        "  1  0.2  [space, time]  70.0 (20.0, 10.0)          60.0        60         1 of 2 done, 1 failed",
        "  2  0.1  [space, time]  52.0 ± 2.8 (25.0, 10.0)    82.0 ± 2.8  60         2 of 2 done",
    ]


def test_the_csv_has_the_same_numbers(table: Table) -> None:
    best, second = csv.DictReader(io.StringIO(as_csv(table)))
    assert (best["lr"], best["groups"], best["val_mean"], best["val_std"]) == ("0.2", "[space, time]", "70.0", "")
    assert (second["test_mean"], second["random_init"], second["runs"], second["done"]) == ("82.0", "25.0", "2", "2")
    assert record(table.rows[1], table)["val_std"] == pytest.approx(8**0.5)
    assert best["alarms"] == "1"


def test_another_measure_and_a_part_of_one(folder: SweepFolder) -> None:
    manifest = sweep_of(folder, TWO[:1])
    finish(folder, "a", 50.0, 80.0)

    def score(by: str) -> tuple[str, str]:
        table = make_table(folder, manifest, "knn", by)
        return table.split, str(table.rows[0].spread(table.split))

    assert score("knn") == ("val", "50.0")
    assert score("knn/clip") == ("val", "60.0")
    assert score("knn/space") == ("val", "40.0")
    assert score("knn/space/program") == ("val", "99.0")
    assert score("knn/space/digit/top1") == ("val", "40.0")
    assert score("linear_probe") == ("test", "75.0")  # which scores no validation videos
    for wrong in ("knn/time", "fine_tuning", "knn/clip/program/recall"):
        with pytest.raises(InputError, match=f"--by {wrong}: no run is scored by that; there are knn, linear_probe, "):
            make_table(folder, manifest, "knn", wrong)
    for wrong in ("", "knn/", "a/b/c/d/e"):
        with pytest.raises(InputError, match=r"expected EVALUATION\[/LEVEL\[/LABELS\[/METRIC\]\]\]"):
            make_table(folder, manifest, "knn", wrong)


def test_without_scores_on_validation_videos_the_test_decides(folder: SweepFolder) -> None:
    manifest = sweep_of(folder, TWO)
    for name, test in zip("abcd", (1.0, 2.0, 30.0, 40.0), strict=True):
        finish(folder, name, None, test)
    table = make_table(folder, manifest, None, None)
    assert (table.split, table.measure, table.rows[0].values["lr"]) == ("test", Measure("knn"), 0.2)


def test_nothing_done_is_a_table_too(folder: SweepFolder) -> None:
    table = make_table(folder, sweep_of(folder, TWO), "knn", None)
    assert (table.measure, table.title) == (None, "no run has been scored")
    assert [row.states for row in table.rows] == ["0 of 2 done, 2 not run"] * 2
    assert "0.1" in as_text(table)
    assert len(as_csv(table).splitlines()) == 3


def test_a_damaged_summary_is_told(folder: SweepFolder) -> None:
    manifest = sweep_of(folder, TWO)
    finish(folder, "a", 50.0, 80.0)
    folder.run("a").summary.write_text('{"own_labels"')
    with pytest.raises(InputError, match=r"summary.json cannot be used .*; remove the run's folder to run it again"):
        make_table(folder, manifest, "knn", None)
