"""The scores of a run as the report shows them: tables, floors, and whether it worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runs.metric_names import TEST, score_name
from runs.results import Result, primary, results_of

Evaluations = Mapping[str, Mapping[str, str]]
"""By name of an evaluation, its title, heading and note."""
_SPLITS = {"val": "validation", "test": "test"}


def described(evaluations: Mapping[str, Mapping[str, str]], result: Result) -> Mapping[str, str]:
    """Heading and note of the evaluation that a result is of."""
    return evaluations.get(result.evaluation) or {"heading": result.evaluation, "note": ""}


@dataclass(frozen=True)
class ScoreTable:
    """The results of an evaluation: every level (row) on every label set (column)."""

    title: str
    note: str
    columns: list[str]
    rows: dict[str, list[Result | None]]

    @property
    def measured(self) -> str:
        """Says what the numbers are, and on which videos."""
        first = next(result for row in self.rows.values() for result in row if result)
        videos = f"videos of {first.dataset}" if first.dataset else "videos"
        return f"{first.metric} on the {_SPLITS[first.split]} {videos}, {first.unit}"

    @property
    def metric_name(self) -> str:
        """The name of its numbers wherever they are shown."""
        first = next(result for row in self.rows.values() for result in row if result)
        name = score_name(replace(first, level="LEVEL", labels=first.labels and "LABELS"))
        return f"{TEST}/{name}" if first.split == "test" else name


def score_tables(results: Sequence[Result], evaluations: Mapping[str, Mapping[str, str]]) -> list[ScoreTable]:
    """A table for every evaluation, of its results that are of a level."""
    tables = []
    by_evaluation: dict[str, list[Result]] = {}
    for result in results:
        if result.level is not None:
            by_evaluation.setdefault(result.evaluation, []).append(result)
    for mine in by_evaluation.values():
        columns = list(dict.fromkeys(result.column for result in mine))
        rows: dict[str, list[Result | None]] = {}
        for level in dict.fromkeys(str(result.level) for result in mine):
            cells = {result.column: result for result in mine if result.level == level}
            rows[level] = [cells.get(column) for column in columns]
        words = described(evaluations, mine[0])
        tables.append(ScoreTable(words["heading"], words["note"], columns, rows))
    return tables


@dataclass(frozen=True)
class MainTable:
    """The table that matters: every level on the labels that it is judged by, as each evaluation scores it."""

    columns: list[str]
    rows: dict[str, list[Result | None]]
    """By level and its labels."""
    measured: str


def main_table(results: Sequence[Result], evaluations: Evaluations) -> MainTable | None:
    """What evaluations say of the levels on their own labels; None where they say nothing."""
    own = [result for result in results if result.own and result.level is not None]
    if not own:
        return None
    columns = list(dict.fromkeys((result.evaluation, result.metric) for result in own))
    rows: dict[str, list[Result | None]] = {}
    for name in dict.fromkeys((result.level, result.labels) for result in own):
        cells = {(r.evaluation, r.metric): r for r in own if (r.level, r.labels) == name}
        rows[f"{name[0]} · {name[1]}"] = [cells.get(column) for column in columns]
    titles = [described(evaluations, next(r for r in own if r.evaluation == name)) for name, _ in columns]
    metrics = [metric for _, metric in columns]
    shown = [
        title.get("title", title["heading"]) + (f", {metric}" if metric != "top1" else "")
        for title, metric in zip(titles, metrics, strict=True)
    ]
    return MainTable(shown, rows, f"{_SPLITS[own[0].split]} videos")


def pixel_table(summary: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """What evaluations say of looks at the pixels: `looks`, and `rows` by evaluation and label set; None without."""
    shown = primary(results_of({"results": summary.get("pixel_floors") or []}))
    if not shown:
        return None
    looks = list(dict.fromkeys(result.level for result in shown))
    rows: dict[str, dict[str | None, float | None]] = {}
    for result in shown:
        title = described(evaluations, result).get("title", result.evaluation)
        rows.setdefault(f"{title}, {result.column}", {})[result.level] = result.value
    return {"looks": looks, "rows": {name: [cells.get(look) for look in looks] for name, cells in rows.items()}}


def headline(tables: Sequence[ScoreTable]) -> tuple[str, str]:
    """The rows of the first table: for every level and its own labels a verdict and a sentence."""
    own = {
        level: score
        for table in tables[:1]
        for level, row in table.rows.items()
        for score in row
        if score and score.own
    }
    if not own:
        return "unknown", "No level was scored on labels of its own."
    failed = [level for level, score in own.items() if score.learned != "above"]
    by_pixels = [level for level, score in own.items() if score.learned == "above" and score.verdict != "above"]
    verdict = "within" if failed or by_pixels else "above"
    beyond = "by more than the 95 % interval"
    if failed:
        text = (
            f"{len(own) - len(failed)} of {len(own)} levels know their own labels. Not above the higher one of random "
            f"init and chance {beyond}: {', '.join(failed)}."
        )
    else:
        text = f"Every level knows its own labels: above random init and above chance {beyond}."
    if by_pixels:
        text += (
            f" Plain pixels, without any learning, do as well within that interval, or better: {', '.join(by_pixels)}."
        )
    return verdict, text
