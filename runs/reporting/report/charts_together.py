"""The curves of several runs over each other: a chart for every curve, a line for every group of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from runs.reporting.report.charts import Chart, Line

Group = tuple[str, Sequence[Sequence[Chart]]]
"""A name, and the charts of each of its runs, which differ in their seeds alone."""
_Place = tuple[str, str, str]
"""Section, title of the chart, name of the line."""


def charts_together(groups: Sequence[Group]) -> list[Chart]:
    """A chart for every curve that a run has.

    The line of a group of several runs is their mean, with a band from the lowest to the highest of them. What each was
    before training is dashed in its colour; chance is there once.
    """
    first: dict[_Place, Chart] = {}
    lines: dict[_Place, list[Line]] = {}
    for look, (group, runs) in enumerate(groups):
        of_group: dict[_Place, list[list[Line]]] = {}
        for chart in (chart for run in runs for chart in run):
            for line in (line for line in chart.lines if line.kind == "value"):
                place = chart.section, chart.title, line.name
                first.setdefault(place, chart)
                of_group.setdefault(place, []).append([line, *_floors(chart, line)])
        for place, found in of_group.items():
            lines.setdefault(place, []).extend(_of_group(group, look, found))
    together = []
    for place, chart in first.items():
        values = [line for line in chart.lines if line.kind == "value"]
        title = chart.title if len(values) == 1 else f"{chart.title} · {place[2]}"
        together.append(replace(chart, title=title, lines=_chance_once(lines[place]), alarms=[], stages={}))
    return together


def _floors(chart: Chart, line: Line) -> list[Line]:
    """What a line is compared with."""
    return [
        floor for floor in chart.lines if floor.kind == "chance" or (floor.kind == "init" and floor.look == line.look)
    ]


def _of_group(group: str, look: int, runs: Sequence[Sequence[Line]]) -> list[Line]:
    """The lines of a group in one chart: the mean of its runs' values, and of their floors."""
    found = []
    for kind, name in (("value", group), ("init", f"{group}, random init"), ("chance", "chance")):
        same = [line for run in runs for line in run if line.kind == kind and line.points]
        if same:
            found.append(_mean(name, look, same))
    return found


def _mean(name: str, look: int, lines: Sequence[Line]) -> Line:
    """The mean of lines over the steps that all of them have reached, and their range where they are several."""
    if len(lines) == 1:
        band = lines[0].band if lines[0].kind == "value" else []
        return replace(lines[0], name=name, look=look, band=band)
    start = max(line.points[0][0] for line in lines)
    end = min(line.points[-1][0] for line in lines)
    steps = [step for step, _ in lines[0].points if start <= step <= end] or [start]
    values = np.array(
        [np.interp(steps, [step for step, _ in line.points], [v for _, v in line.points]) for line in lines]
    )
    band = [
        (float(s), float(low), float(high)) for s, low, high in zip(steps, values.min(0), values.max(0), strict=True)
    ]
    points = [(float(step), float(value)) for step, value in zip(steps, values.mean(0), strict=True)]
    return replace(lines[0], name=name, look=look, points=points, band=band if lines[0].kind == "value" else [])


def _chance_once(lines: Sequence[Line]) -> list[Line]:
    """The lines with the first of those that show chance alone: they are the same for all runs on the same data."""
    kept, known = [], set()
    for line in lines:
        if line.kind == "chance":
            level = tuple(round(value, 3) for _, value in line.points[-1:])
            if level in known:
                continue
            known.add(level)
        kept.append(line)
    return kept
