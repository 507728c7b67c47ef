"""A chart as SVG: its places in a drawing of fixed size, which the template writes down and the browser scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runs.reporting.report.charts import Chart, Line

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 26
LOOKS = 8
"""Colours of the style sheet, and as many markers: no line is told from another by its colour alone."""
_MARKS = 6  # on a line of many points
_WIDE = 100  # values that are so many times each other are drawn on a logarithmic axis


@dataclass(frozen=True)
class DrawnLine:
    """A line in the drawing."""

    name: str
    look: int
    kind: str
    path: str
    band: str
    marks: list[tuple[float, float]]


@dataclass(frozen=True)
class DrawnChart:
    """What the template shows of a chart."""

    chart: Chart
    lines: list[DrawnLine]
    across: list[tuple[float, str]]
    """Ticks of the axis of steps: place, text."""
    up: list[tuple[float, str]]
    """Ticks of the axis of values."""
    alarms: list[float]
    stages: list[tuple[float, str]]
    words: str
    """What it shows, for those who cannot see it."""

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs to tell the values under the pointer."""
        axes = _Axes.of(self.chart)
        lines = [
            {"name": line.name, "look": line.look % LOOKS, "points": [[s, v, *axes.at(s, v)] for s, v in line.points]}
            for line in self.chart.lines
            if line.points
        ]
        return {"unit": self.chart.unit, "lines": lines}


def drawn(chart: Chart) -> DrawnChart:
    """Lays out a chart that has a point."""
    axes = _Axes.of(chart)
    return DrawnChart(
        chart,
        [_drawn_line(line, axes) for line in chart.lines if line.points],
        [(axes.x(step), short(step)) for step in axes.steps_shown()],
        [(axes.y(value), short(value)) for value in axes.values_shown()],
        [axes.x(step) for step in chart.alarms],
        [(axes.x(step), f"stage {number}") for number, step in chart.stages.items()],
        _words(chart),
    )


def short(value: float) -> str:
    """A number for an axis or a sentence, of three digits or so: `1,200`, `0.031`, `2e-06`."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.2g}"


@dataclass(frozen=True)
class _Axes:
    """From steps and values to places in the drawing."""

    first: float
    last: float
    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, chart: Chart) -> _Axes:
        points = [point for line in chart.lines for point in line.points]
        steps = [step for step, _ in points]
        values = [value for _, value in points]
        inside = [bound for line in chart.lines for _, low, high in line.band for bound in (low, high)]
        low, high = min(values + inside), max(values + inside)
        is_wide = 0 < low < high / _WIDE
        if chart.from_zero and not is_wide:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            room = abs(low) or 1.0
            low, high = low - room / 2, high + room / 2
        return cls(min(steps), max(steps), low, high, is_wide)

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def at(self, step: float, value: float) -> tuple[float, float]:
        return self.x(step), self.y(value)

    def steps_shown(self) -> list[float]:
        found = [step for step in _round_numbers(self.first, self.last, 4) if step == int(step)]
        return found or [self.first]

    def values_shown(self) -> list[float]:
        if not self.logarithmic:
            return _round_numbers(self.low, self.high, 4)
        powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
        every = -(-len(powers) // 5) or 1
        return [10.0**power for power in powers[::every]]


def _round_numbers(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, about so many."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _drawn_line(line: Line, axes: _Axes) -> DrawnLine:
    places = [axes.at(*point) for point in line.points]
    marks: list[tuple[float, float]] = []
    if line.kind == "value":
        every = -(-len(places) // _MARKS) or 1
        # Shifted from line to line, so that marks of lines that lie on each other are all seen.
        marks = places if len(places) <= 2 * _MARKS else places[line.look % every :: every]
    band = ""
    if len(line.band) > 1:
        above = [axes.at(step, high) for step, _, high in line.band]
        below = [axes.at(step, low) for step, low, _ in reversed(line.band)]
        band = _path([*above, *below]) + "Z"
    return DrawnLine(line.name, line.look % LOOKS, line.kind, _path(places), band, marks)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)


def _words(chart: Chart) -> str:
    """The chart in a sentence for every line: where it begins and ends."""
    unit = f" {chart.unit}" if chart.unit else ""
    parts = []
    for line in (line for line in chart.lines if line.points):
        (start, first), (end, last) = line.points[0], line.points[-1]
        if line.kind != "value" or start == end:
            parts.append(f"{line.name} {short(last)}{unit}")
        else:
            parts.append(
                f"{line.name} from {short(first)} at step {short(start)} to {short(last)}{unit} at {short(end)}"
            )
    if chart.alarms:
        parts.append("alarms at step " + ", ".join(short(step) for step in chart.alarms))
    return f"{chart.title}: {'; '.join(parts)}."
