"""The curves of a run as data: scores beside their floors, losses, what the optimizer did, collapse monitors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from runs.reporting.monitor_table import MONITORS
from runs.reporting.stage_marks import by_stage, stage_starts
from runs.results import Result, primary, results_of

MAX_POINTS = 240  # of a line; more cannot be told apart in a chart of this size
Records = Sequence[Mapping[str, Any]]
Point = tuple[float, float]
"""Step and value."""


@dataclass(frozen=True)
class Line:
    """One curve of a chart."""

    name: str
    points: list[Point]
    band: list[tuple[float, float, float]] = field(default_factory=list)
    """Step, lowest and highest value: an interval, or the range over seeds."""
    look: int = 0
    """Number of its colour and its marker."""
    kind: Literal["value", "init", "chance"] = "value"
    """`init`: what the line of the same look was before training; `chance`: a floor of all lines."""


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes."""

    section: str
    title: str
    lines: list[Line]
    unit: str = ""
    from_zero: bool = False
    """Whether 0 is in it."""
    alarms: list[float] = field(default_factory=list)
    """Steps at which a monitor raised one."""
    stages: dict[int, int] = field(default_factory=dict)
    """By number of a curriculum's stage, the step that it begins after."""
    note: str = ""
    """How to read it."""
    own: bool = True
    """Whether it belongs to what the run is judged by; others are folded away."""


SCORES, LOSSES, TRAINING, COLLAPSE = "Scores", "Losses", "Training", "Collapse watch"
NOTES = {
    SCORES: "On validation videos. The line must leave its floors behind: dashed is the same model before training, "
    "dotted is chance. The band is the 95 % interval.",
    LOSSES: "Every term of every level's loss, weighted. A falling loss alone proves nothing: a collapsed model "
    "predicts itself perfectly.",
    TRAINING: "Norms of the gradients before clipping, the learning rate, how fast the training was, and which "
    "share of its time it waited for data.",
    COLLAPSE: "On validation videos; dashed is the same model before training. A red line marks a validation that "
    "raised an alarm.",
}
"""How to read the charts of each section."""
NOTES_TOGETHER = NOTES | {
    SCORES: "On validation videos. A line must leave its floors behind: dashed in its colour is the same model before "
    "training, dotted is chance. Bands go from the lowest to the highest seed; that of a single run is its 95 % "
    "interval.",
    COLLAPSE: "On validation videos; dashed in the same colour is the same model before training.",
}
"""The same where several runs are drawn over each other."""


def charts_of(records: Records, titles: Mapping[str, str]) -> list[Chart]:
    """All charts that there is data for.

    Args:
        records: of metrics.jsonl.
        titles: of evaluations by name; without one, the name is the title.
    """
    starts = stage_starts(records)
    found = [*_scores(records, titles), *_losses(records), *_training(records), *_collapse(records)]
    return [replace(chart, stages=starts) for chart in found if any(line.points for line in chart.lines)]


def _scores(records: Records, titles: Mapping[str, str]) -> Iterator[Chart]:
    """A chart for every evaluation, level and label set."""
    points: dict[tuple[str, str, str], list[tuple[int, Result]]] = {}
    for record in records:
        for result in primary(results_of(record)) if record["kind"] == "validation" else ():
            key = result.evaluation, result.level or "", result.column
            points.setdefault(key, []).append((record["step"], result))
    has_own = {key[0] for key, found in points.items() if any(result.own for _, result in found)}
    for (evaluation, level, column), found in points.items():
        title = " · ".join(filter(None, (titles.get(evaluation, evaluation), level, column)))
        last = found[-1][1]
        value = Line("score", _known((step, r.value) for step, r in found), _intervals(found))
        floors = [
            Line("random init", _known((step, r.random_init) for step, r in found), kind="init"),
            Line("chance", _known((step, r.chance) for step, r in found), kind="chance"),
        ]
        yield Chart(
            SCORES,
            title,
            [value, *(floor for floor in floors if floor.points)],
            last.unit,
            from_zero=True,
            own=any(result.own for _, result in found) or evaluation not in has_own,
        )


def _intervals(found: Iterable[tuple[int, Result]]) -> list[tuple[float, float, float]]:
    band: list[tuple[float, float, float]] = []
    for step, result in found:
        if result.value is not None and result.interval is not None:
            low, high = result.value - result.interval, result.value + result.interval
            band.append((step, max(low, 0.0), min(high, 100.0)) if result.unit == "%" else (step, low, high))
    return band


def _losses(records: Records) -> Iterator[Chart]:
    steps = [record for record in records if record["kind"] == "step"]
    for level in _names(steps, "loss"):
        terms = _names(steps, "loss", level)
        lines = [Line(term, _thinned(steps, "loss", level, term), look=i) for i, term in enumerate(terms)]
        yield Chart(LOSSES, level, lines)


def _training(records: Records) -> Iterator[Chart]:
    steps = [record for record in records if record["kind"] == "step"]
    groups = _names(steps, "grad_norm")
    lines = [Line(group, _thinned(steps, "grad_norm", group), look=i) for i, group in enumerate(groups)]
    yield Chart(TRAINING, "gradient norm", lines)
    yield Chart(TRAINING, "learning rate", [Line("learning rate", _thinned(steps, "lr"))])
    timed = [record for record in steps if record.get("seconds")]
    waiting = [(r["step"], 100 * r["data_wait"] / r["seconds"]) for r in timed if r.get("data_wait") is not None]
    yield Chart(TRAINING, "waiting for data", [Line("waiting", _means(waiting))], "% of the time", from_zero=True)
    speed = [(r["step"], r["windows"] / r["seconds"]) for r in timed if r.get("windows") is not None]
    yield Chart(TRAINING, "speed", [Line("speed", _means(speed))], "windows/s", from_zero=True)


def _collapse(records: Records) -> Iterator[Chart]:
    # A validation keeps rank and std by themselves and all others in `monitors`: here they are alike.
    measured = [r | (r.get("monitors") or {}) for r in map(dict, records) if r["kind"] in ("validation", "random_init")]
    shown = [record for record in measured if record["kind"] == "validation"]
    alarms = [float(record["step"]) for record in shown if record.get("alarms")]
    names = list(dict.fromkeys(name for monitor in MONITORS for name in _names(shown, monitor)))
    for monitor, words in MONITORS.items():
        lines = []
        for name in _names(shown, monitor):
            look = names.index(name)
            lines.append(Line(name, _thinned(shown, monitor, name), look=look))
            lines.append(Line(f"{name} before training", _at_init(measured, monitor, name), look=look, kind="init"))
        yield Chart(COLLAPSE, words.panel, lines, from_zero=True, alarms=alarms, note=words.meaning)


def _at_init(measured: Records, *keys: str) -> list[Point]:
    """What the run, or each of its stages, begins with, from there to its end."""
    points = []
    for stage in by_stage(measured):
        value = _value(stage[0], *keys)
        if value is not None:
            points += [(stage[0]["step"], value), (stage[-1]["step"], value)]
    return points


def _thinned(records: Records, *keys: str) -> list[Point]:
    return _means(_known((record["step"], _value(record, *keys)) for record in records))


def _means(points: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS: means over neighbours where there are more."""
    size = -(-len(points) // MAX_POINTS) or 1
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(s for s, _ in part) / len(part), sum(v for _, v in part) / len(part)) for part in parts]


def _known(points: Iterable[tuple[float, float | None]]) -> list[Point]:
    return [(step, value) for step, value in points if value is not None]


def _value(record: Mapping[str, Any], *keys: str) -> float | None:
    """`record[keys[0]][keys[1]]...`; None where it is absent or null."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None  # `Mapping` takes long to ask for
    return None if value is None else float(value)


def _names(records: Records, *keys: str) -> list[str]:
    """Keys of the mapping at `keys`, over all records, in their order."""
    names: dict[str, None] = {}
    for value in records:
        for key in keys:
            value = value.get(key) or {}
        names.update(dict.fromkeys(value))
    return list(names)
