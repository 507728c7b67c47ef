"""What a sweep has found, as files: results.csv, results.json, and a report that says what mattered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.yaml_text import to_yaml
from runs.metrics import MetricLog
from runs.process.atomic import write_json, write_text
from runs.reporting.report.charts import NOTES_TOGETHER, charts_of
from runs.reporting.report.charts_together import charts_together
from runs.reporting.report.drawn_chart import DrawnChart, drawn
from runs.reporting.report.page import render_page
from runs.reporting.report.run_report import sections_of
from sweeps.effects import Effect, Group, effects, share_of_seeds
from sweeps.folder import SweepFolder
from sweeps.names import short_keys
from sweeps.scores import SPLITS
from sweeps.table import NONE, Row, Table, as_csv, record

_FOLDER = Path(__file__).parent
_MOST_CURVES = 8  # combinations; more lines cannot be told apart
_WIDTH, _LEFT, _ROW = 640, 150, 26  # pixels of a drawing: its width, the space for names, the height of a row


@dataclass(frozen=True)
class Strip:
    """The runs of a group in a drawing: a dot for each, and a mark at their mean."""

    group: Group
    y: float
    dots: list[float]
    mean: float


def write_report(table: Table, folder: SweepFolder) -> None:
    """Writes the table, all runs and the effects of the keys. InputError: a file cannot be written."""
    found = effects(table)
    write_text(folder.csv, as_csv(table))
    write_json(folder.json, _as_json(table, found))
    write_text(folder.report, _html(table, found, folder))


def _as_json(table: Table, found: Sequence[Effect]) -> dict[str, Any]:
    runs = [
        {
            **asdict(run.run),
            "state": run.outcome.state,
            "reason": run.outcome.reason,
            "scores": {split: asdict(score) for split, score in run.scores.items()},
            "seconds": run.found.seconds if run.found else None,
        }
        for run in table.runs
    ]
    return {
        "sweep": table.name,
        "base": table.manifest.base,
        "by": str(table.measure) if table.measure else None,
        "split": table.split,
        "rows": [record(row, table) for row in table.rows],
        "effects": [
            {
                "key": effect.key,
                "share": effect.share,
                "by_chance": effect.by_chance,
                "p": effect.p,
                "verdict": effect.verdict,
                "groups": [
                    {"value": group.title, "runs": len(group.scores), **asdict(group.spread)} for group in effect.groups
                ],
            }
            for effect in found
        ],
        "share_of_seeds": share_of_seeds(table),
        "runs": runs,
    }


def _html(table: Table, found: Sequence[Effect], folder: SweepFolder) -> str:
    scored = [row for row in table.rows if row.spread(table.split)]
    other = next((split for split in SPLITS if split != table.split and any(row.spread(split) for row in scored)), None)
    charts = _charts(scored[:_MOST_CURVES], folder)
    note = "The curves of each combination are the means of its seeds."
    if len(scored) > _MOST_CURVES:
        note += f" Those of the {_MOST_CURVES} best are shown; report.py RUN RUN ... shows others."
    return render_page(
        "sweep.html.j2",
        ["charts.js", "renewal.js"],
        {"charts": [chart.data for chart in charts]},
        [_FOLDER],
        sections=sections_of(charts, NOTES_TOGETHER),
        curves_note=note,
        table=table,
        keys=short_keys(table.manifest.keys),
        other=other,
        splits=SPLITS,
        none=NONE,
        to_yaml=to_yaml,
        scored=scored,
        notes=_notes(table, scored, other),
        effects=[(effect, _sentence(effect, table.unit), *_strips(effect)) for effect in found],
        seeds=share_of_seeds(table),
        width=_WIDTH,
        left=_LEFT,
        row_height=_ROW,
        not_done=[run for run in table.runs if run.outcome.state != "done"],
    )


def _charts(rows: Sequence[Row], folder: SweepFolder) -> list[DrawnChart]:
    """The curves of combinations over each other."""
    groups = []
    for row in rows:
        runs = [MetricLog.read(folder.run(run.run.name).metrics) for run in row.done]
        name = ", ".join(f"{key.rpartition('.')[2]}={to_yaml(value)}" for key, value in row.values.items())
        groups.append((name or "all seeds", [charts_of(records, {}) for records in runs]))
    return [drawn(chart) for chart in charts_together(groups)]


def _notes(table: Table, scored: Sequence[Row], other: str | None) -> list[str]:
    """What must be known before the table is believed, a sentence each."""
    if not scored:
        return []
    notes, best = [], scored[0]
    spread = best.spread(table.split)
    assert spread is not None
    seeds = min(len(row.done) for row in scored)
    if len(scored) > 1:
        if seeds < 2:
            notes.append(
                "Some combinations were run with one seed alone: how much seeds change their scores is not known. "
                "--seeds 3 adds more."
            )
        elif spread.std is not None:
            close = [row for row in scored[1:] if _mean(row, table.split) >= spread.mean - spread.std]
            if close:
                are = "1 other combination is" if len(close) == 1 else f"{len(close)} other combinations are"
                notes.append(f"{are} within one standard deviation of the best: seeds alone make such differences.")
        if table.split == "test":
            notes.append(
                "The order is that of the test scores, since no run was scored on validation videos by this: the best "
                f"of {len(scored)} is flattered by having been chosen."
            )
        elif other:
            notes.append(
                f"The validation score of the best of {len(scored)} is flattered by having been chosen; its test score "
                "is not."
            )
    floors = [best.spread(table.split, floor) for floor in ("random_init", "chance")]
    floor = max((found.mean for found in floors if found), default=None)
    if floor is not None and spread.mean <= floor:
        notes.append("Not even the best combination is above its floors.")
    return notes


def _mean(row: Row, split: str) -> float:
    spread = row.spread(split)
    return spread.mean if spread else float("-inf")


def _sentence(effect: Effect, unit: str) -> str:
    """What can be said of a key."""
    if effect.verdict == "too few":
        return "There are too few runs to tell an effect from chance."
    chance = f"values dealt out at random do as much in {100 * effect.p:.1f} % of the cases"
    if effect.verdict == "unsure":
        return f"Its effect cannot be told from chance: {chance}."
    points = "points" if unit == "%" else unit
    return (
        f"It matters: {chance}. {effect.best.title} is best on average; the best and the worst mean are "
        f"{effect.gap:.1f} {points} apart."
    )


def _strips(effect: Effect) -> tuple[list[Strip], list[tuple[float, str]]]:
    """The drawing of a key: a strip for each group, and the marks of the axis with their places."""
    scores = [score for group in effect.groups for score in group.scores]
    low, high = min(scores), max(scores)
    room = (high - low) * 0.05 or 1.0
    low, high = low - room, high + room

    def place(score: float) -> float:
        return round(_LEFT + (score - low) / (high - low) * (_WIDTH - _LEFT - 30), 1)

    strips = [
        Strip(group, (number + 0.5) * _ROW, [place(score) for score in group.scores], place(group.spread.mean))
        for number, group in enumerate(effect.groups)
    ]
    marks = [low + room, (low + high) / 2, high - room]
    return strips, [(place(mark), f"{mark:.1f}") for mark in dict.fromkeys(marks)]
