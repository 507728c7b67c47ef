"""The table of a sweep: a row for every combination, the best first, mean and spread over its seeds, floors beside."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from config.errors import InputError
from config.yaml_text import to_yaml
from runs.process.atomic import plain
from sweeps.folder import Manifest, SweepFolder, SweepRun
from sweeps.names import short_keys
from sweeps.scores import SPLITS, Measure, RunScores, Score, known_measures, read_scores
from sweeps.training import Outcome

NONE = "–"


@dataclass(frozen=True)
class RunRow:
    """A run with what has become of it, and its scores by split where it is done."""

    run: SweepRun
    outcome: Outcome
    scores: Mapping[str, Score]
    found: RunScores | None


@dataclass(frozen=True)
class Spread:
    """A number of several runs: its mean, and its standard deviation where there are two or more."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread | None:
        """Mean and deviation of the values that are known; None where there are none."""
        known = [value for value in values if value is not None]
        return cls(fmean(known), stdev(known) if len(known) > 1 else None) if known else None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ± {self.std:.1f}" if self.std is not None else "")


@dataclass(frozen=True)
class Row:
    """A combination, over its seeds."""

    values: dict[str, Any]
    runs: list[RunRow]

    def spread(self, split: str, what: str = "value") -> Spread | None:
        """Mean and standard deviation of a score (or of a floor) on a split; None where no run has it."""
        return Spread.of([getattr(run.scores[split], what) for run in self.runs if split in run.scores])

    @property
    def done(self) -> list[RunRow]:
        """The runs that are done."""
        return [run for run in self.runs if run.found is not None]

    @property
    def seconds(self) -> Spread | None:
        """Wall time of a run."""
        return Spread.of([run.found.seconds for run in self.done if run.found])

    @property
    def alarms(self) -> int:
        """Alarms of collapse in all runs."""
        return sum(run.found.alarms for run in self.done if run.found)

    @property
    def states(self) -> str:
        """How many runs are done, and what the others are: `2 of 3 done, 1 failed`."""
        others = [run.outcome.state for run in self.runs if run.outcome.state != "done"]
        counts = [f"{others.count(state)} {state}" for state in dict.fromkeys(others)]
        return ", ".join([f"{len(self.done)} of {len(self.runs)} done", *counts])


@dataclass(frozen=True)
class Table:
    """All rows, the best first.

    Attributes:
        name: of the sweep.
        manifest: what the sweep is.
        measure: that the runs are compared by; None where none is scored.
        split: on whose videos: those of validation where they are scored, which leaves the test for judging the best.
        rows: those without a score last.
    """

    name: str
    manifest: Manifest
    measure: Measure | None
    split: str
    rows: list[Row]

    @property
    def runs(self) -> list[RunRow]:
        """All runs."""
        return [run for row in self.rows for run in row.runs]

    @property
    def unit(self) -> str:
        """What the scores are counted in."""
        return next((score.unit for run in self.runs for score in run.scores.values()), "%")

    @property
    def title(self) -> str:
        """What the numbers are."""
        if self.measure is None:
            return "no run has been scored"
        what = str(self.measure)
        if self.measure.level is None:
            what += ", mean of the levels on their own labels"
        return f"{what}, {self.unit}, on {SPLITS[self.split]} videos: mean ± standard deviation over seeds"


def make_table(folder: SweepFolder, manifest: Manifest, choose_by: str | None, by: str | None) -> Table:
    """The table of the runs that are there.

    Args:
        folder: of the sweep.
        manifest: what the sweep is.
        choose_by: the evaluation that chooses the checkpoints, which is what runs are compared by, too.
        by: what to compare by instead.

    Raises:
        InputError: no run has been scored by that, or a file cannot be read.
    """
    outcomes = {run.name: folder.training(run).found() for run in manifest.runs}
    found = {name: read_scores(folder.run(name)) for name, outcome in outcomes.items() if outcome.state == "done"}
    measure, split = _measure(list(found.values()), choose_by, by)
    rows: dict[str, Row] = {}
    for run in manifest.runs:
        scores = {}
        if measure and run.name in found:
            by_split = {split: measure.score(results) for split, results in found[run.name].results.items()}
            scores = {split: score for split, score in by_split.items() if score}
        row = rows.setdefault(json.dumps(run.values, sort_keys=True), Row(run.values, []))
        row.runs.append(RunRow(run, outcomes[run.name], scores, found.get(run.name)))

    def order(row: Row) -> float:
        spread = row.spread(split)
        return -spread.mean if spread else float("inf")

    return Table(folder.root.name, manifest, measure, split, sorted(rows.values(), key=order))


def _measure(found: Sequence[RunScores], choose_by: str | None, by: str | None) -> tuple[Measure | None, str]:
    """What to compare by, and on which split. InputError: nothing is scored by what the user asks for."""
    if by is not None:
        candidates = [Measure.parse(by)]
    else:
        names = [
            choose_by,
            *(result.evaluation for run in found for result in run.results["val"] + run.results["test"]),
        ]
        candidates = [Measure(name) for name in dict.fromkeys(names) if name]
    for split in SPLITS:
        for measure in candidates:
            if any(measure.score(run.results[split]) for run in found):
                return measure, split
    if by is not None and found:
        raise InputError(f"--by {by}: no run is scored by that; there are {', '.join(known_measures(found)) or 'none'}")
    return None, "val"


# ---------------------------------------------------------------------------------------------------- as text


def as_text(table: Table) -> str:
    """The table for a terminal."""
    short = short_keys(table.manifest.keys)
    split = table.split
    others = [other for other in SPLITS if other != split and any(row.spread(other) for row in table.rows)]
    heads = ["#", *short.values(), f"{SPLITS[split]} (init, chance)", *(SPLITS[other] for other in others)]
    lines = [[*heads, "s per run", "runs"]]
    for number, row in enumerate(table.rows, start=1):
        spread, seconds = row.spread(split), row.seconds
        floors = [row.spread(split, what) for what in ("random_init", "chance")]
        score = (
            f"{spread} ({', '.join(f'{floor.mean:.1f}' if floor else NONE for floor in floors)})" if spread else NONE
        )
        lines.append(
            [
                str(number) if spread else "",
                *(to_yaml(row.values[key]) for key in table.manifest.keys),
                score,
                *(str(row.spread(other) or NONE) for other in others),
                f"{seconds.mean:.0f}" if seconds else NONE,
                row.states,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_csv(table: Table) -> str:
    """The table with a row per combination."""
    rows = [record(row, table) for row in table.rows]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {key: to_yaml(value) if isinstance(value, (list, dict, bool)) else value for key, value in row.items()}
        writer.writerow(plain(cells))
    return file.getvalue()


def record(row: Row, table: Table) -> dict[str, Any]:
    """A row as plain values: the keys, and numbers, None where one is not known."""
    values: dict[str, Any] = {key: row.values[key] for key in table.manifest.keys}
    for split in SPLITS:
        spread = row.spread(split)
        values[f"{split}_mean"] = spread.mean if spread else None
        values[f"{split}_std"] = spread.std if spread else None
    for floor in ("random_init", "chance"):
        spread = row.spread(table.split, floor)
        values[floor] = spread.mean if spread else None
    values["seconds"] = row.seconds.mean if row.seconds else None
    values["alarms"] = row.alarms
    values["runs"] = len(row.runs)
    values["done"] = len(row.done)
    return values
