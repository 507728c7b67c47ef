"""Runs beside each other: in what they differ, what each scores beside its floors, and all curves together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from config.errors import InputError
from runs.history import FREE_KEYS
from runs.process.atomic import write_text
from runs.reporting.report.charts import NOTES_TOGETHER, charts_of
from runs.reporting.report.charts_together import charts_together
from runs.reporting.report.config_changes import ABSENT, different_keys
from runs.reporting.report.drawn_chart import drawn
from runs.reporting.report.page import render_page
from runs.reporting.report.run_files import RunFiles
from runs.reporting.report.run_report import sections_of
from runs.results import Result

# What can differ between runs that are the same but for their seeds.
_OF_A_SEED = (FREE_KEYS - {"num_epochs"}) | {"seed", "model_name"}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone."""

    name: str
    names: list[str]
    runs: list[RunFiles]


@dataclass(frozen=True)
class Cell:
    """A score of a group: of one run with half its 95 % interval, of several their mean and standard deviation."""

    value: float
    spread: float | None
    random_init: float | None
    chance: float | None
    pixels: float | None
    unit: str
    is_best: bool = False


@dataclass(frozen=True)
class Row:
    """A score of all groups."""

    title: str
    split: str
    own: bool
    cells: list[Cell | None]


def write_comparison(runs: Sequence[RunFiles], path: Path) -> Path:
    """Writes the page.

    Args:
        runs: two or more.
        path: of the HTML file; its folder must exist.

    Raises:
        InputError: a run is given twice, or the file cannot be written.
    """
    groups = grouped(runs)
    keys = different_keys([group.runs[0].config for group in groups])
    keys = [key for key in keys if len(groups) > 1 and key.partition(".")[0] not in _OF_A_SEED]
    titles = {name: title for run in runs for name, title in run.titles.items()}
    of_groups = [(group.name, [charts_of(run.records, titles) for run in group.runs]) for group in groups]
    charts = [drawn(chart) for chart in charts_together(of_groups)]
    rows = score_rows(groups, titles)
    has_own = any(row.own for row in rows)
    pairs = [(name, run) for group in groups for name, run in zip(group.names, group.runs, strict=True)]
    html = render_page(
        "comparison.html.j2",
        ["charts.js", "renewal.js"],
        {"charts": [chart.data for chart in charts]},
        groups=groups,
        runs=len(runs),
        keys=keys,
        absent=ABSENT,
        rows=[row for row in rows if row.own or not has_own],
        folded=[row for row in rows if not row.own and has_own],
        not_ended=[name for name, run in pairs if not run.ended],
        sections=sections_of(charts, NOTES_TOGETHER),
    )
    write_text(path, html)
    return path


def grouped(runs: Sequence[RunFiles]) -> list[Group]:
    """Puts together what differs in its seed alone. InputError: a run is given twice."""
    places = [run.folder.root.resolve() for run in runs]
    for place in places:
        if places.count(place) > 1:
            raise InputError(f"{place} is given twice; a run beside itself shows nothing")
    names = [place.name for place in places]
    names = [str(place) if names.count(name) > 1 else name for place, name in zip(places, names, strict=True)]
    found: dict[tuple[tuple[str, str], ...], list[tuple[str, RunFiles]]] = {}
    for name, run in zip(names, runs, strict=True):
        same = {key: value for key, value in run.config.items() if key.partition(".")[0] not in _OF_A_SEED}
        found.setdefault(tuple(sorted(same.items())), []).append((name, run))
    return [
        Group(_name_of([name for name, _ in of]), [n for n, _ in of], [run for _, run in of]) for of in found.values()
    ]


def _name_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more seed{'s' if len(names) > 2 else ''}"


def score_rows(groups: Sequence[Group], titles: Mapping[str, str]) -> list[Row]:
    """A row for every score that a run has; `titles` are those of evaluations by name."""
    found: dict[tuple[str, ...], list[list[Result]]] = {}
    for number, group in enumerate(groups):
        for run in group.runs:
            for result in run.results:
                title = titles.get(result.evaluation, result.evaluation)
                key = title, result.dataset, result.split, result.level or "", result.column
                found.setdefault(key, [[] for _ in groups])[number].append(result)
    rows = []
    for (title, _, split, level, column), of_groups in found.items():
        own = any(result.own for of_group in of_groups for result in of_group)
        name = " · ".join(filter(None, (title, level, column)))
        rows.append(Row(name, split, own, _with_best([_cell(of_group) for of_group in of_groups])))
    return rows


def _cell(results: Sequence[Result]) -> Cell | None:
    values = [result.value for result in results if result.value is not None]
    if not values:
        return None
    spread = results[0].interval if len(values) == 1 else stdev(values)
    return Cell(
        fmean(values),
        spread,
        _mean([result.random_init for result in results]),
        _mean([result.chance for result in results]),
        _mean([result.pixels for result in results]),
        results[0].unit,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _with_best(cells: Sequence[Cell | None]) -> list[Cell | None]:
    """Marks the highest one, where there are several and larger is better: where they are percentages."""
    values = [cell.value for cell in cells if cell is not None and cell.unit == "%"]
    highest = max(values, default=0.0)
    if len(values) < 2 or values.count(highest) > 1:
        return list(cells)
    return [replace(cell, is_best=True) if cell and cell.value == highest else cell for cell in cells]
