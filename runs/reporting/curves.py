"""Curves of a run: losses, scores beside their floors, and the collapse monitors, from the records of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runs.reporting.drawing import COLOURS, MARKERS, STYLE, save_figure
from runs.reporting.drawn_text import Lettering
from runs.reporting.monitor_table import MONITORS
from runs.reporting.stage_marks import STAGE, by_stage, mark_stages, stage_starts
from runs.results import Result, primary, results_of

TITLE_CELLS = 20  # of a label set's name


def draw_curves(
    records: Sequence[Mapping[str, Any]], folder: Path, titles: Mapping[str, str] | None = None
) -> list[Path]:
    """Draw `loss.png`, a figure for every evaluation, and `collapse.png`, those that there is data for.

    Args:
        records: of metrics.jsonl.
        folder: where the figures go.
        titles: of evaluations by name; without one, the name is the title.

    Returns:
        The paths of the figures.

    Raises:
        InputError: a figure cannot be written.
    """
    validations = [record for record in records if record["kind"] == "validation"]
    evaluations = dict.fromkeys(result.evaluation for record in validations for result in results_of(record))
    drawn = [
        draw_losses(records, folder),
        *(draw_scores(name, (titles or {}).get(name, name), records, folder) for name in evaluations),
        draw_collapse(records, folder),
    ]
    return [path for path in drawn if path is not None]


def draw_losses(records: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw `loss.png`: the terms of each level's loss, below them the norm of its gradient, or of all that share one.

    Returns:
        Its path; None where there is no data for it.
    """
    steps = [record for record in records if record["kind"] == "step" and record.get("loss")]
    if not steps:
        return None
    with mpl.rc_context(STYLE):
        return _draw_losses(steps, stage_starts(records), folder / "loss.png")


def _draw_losses(steps: Sequence[Mapping[str, Any]], starts: Mapping[int, int], path: Path) -> Path:
    levels, groups = _names(steps, "loss"), _names(steps, "grad_norm")
    terms = list(dict.fromkeys(term for level in levels for term in _names(steps, "loss", level)))
    fig = Figure((3.7 * len(levels), 5.2), layout="constrained")
    axes = fig.subplots(2, len(levels), squeeze=False, sharex=True, height_ratios=[3, 1.3])
    for (above, below), level in zip(axes.T, levels, strict=True):
        for term in _names(steps, "loss", level):
            colour = COLOURS[terms.index(term) % len(COLOURS)]
            _plot_by_stage(above, steps, ("loss", level, term), label=term, color=colour)
        above.set_title(f"loss of {level}")
        _log_if_wide(above)
        above.legend(*above.get_legend_handles_labels())
        for index, group in enumerate([level] if level in groups else groups):
            _plot_by_stage(below, steps, ("grad_norm", group), color=["#555555", *COLOURS][index % len(COLOURS)])
        _log_if_wide(below)
        mark_stages(above, starts)
        below.set(title="gradient norm", xlabel="step")
    return save_figure(fig, path)


def draw_scores(evaluation: str, title: str, records: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw `<evaluation>.png`: for each level and label set the score, and the two floors that it must leave behind.

    Returns:
        Its path; None where no validation has scores of it.
    """
    points: dict[tuple[str, str], list[tuple[int, Result]]] = {}
    for record in records:
        for result in primary(results_of(record)) if record["kind"] == "validation" else ():
            if result.evaluation == evaluation:
                points.setdefault((result.level or "", result.column), []).append((record["step"], result))
    if not points:
        return None
    with mpl.rc_context(STYLE):
        return _draw_scores(points, title, stage_starts(records), folder / f"{evaluation}.png")


def _draw_scores(
    points: Mapping[tuple[str, str], Sequence[tuple[int, Result]]], title: str, starts: Mapping[int, int], path: Path
) -> Path:
    """A panel for each (level, column) of `points`, which are (step, result); `starts`: see `stage_starts`."""
    letters = Lettering()
    levels = list(dict.fromkeys(level for level, _ in points))
    columns = {column: letters.text(column, TITLE_CELLS) for _, column in points}
    mpl.rcParams.update(cast("Any", letters.style))  # until the context of `draw_scores` ends
    fig = Figure((3.4 * len(columns), 0.5 + 2.2 * len(levels)), layout="constrained")
    axes = fig.subplots(len(levels), len(columns), squeeze=False, sharex=True, sharey="col")
    for row, level in zip(axes, levels, strict=True):
        for ax, column in zip(row, columns, strict=True):
            _draw_score(ax, points.get((level, column), []), title)
            mark_stages(ax, starts)
            ax.set_title(f"{level} \u00b7 {columns[column]}", parse_math=False)
        first = next(results[0][1] for (of, _), results in points.items() if of == level)
        row[0].set_ylabel(f"{first.metric}, {first.unit}")
    for ax in axes[-1]:
        ax.set_xlabel("step")
        ax.set_ylim(bottom=0)  # last of all: it ends the column's scaling to its data
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return save_figure(fig, path)


def _draw_score(ax: Axes, points: Sequence[tuple[int, Result]], title: str) -> None:
    """One score and its floors."""
    steps = [{"step": step, "value": r.value, "init": r.random_init, "chance": r.chance} for step, r in points]
    _draw_intervals(ax, points)
    _plot(ax, steps, ("value",), label=title, color="#0072b2", marker="o", markersize=4)
    _plot(ax, steps, ("init",), label="random init", color="#d55e00", linestyle="--")
    _plot(ax, steps, ("chance",), label="chance", color="#555555", linestyle=":")


def _draw_intervals(ax: Axes, points: Sequence[tuple[int, Result]]) -> None:
    """A band of the 95 % intervals, where they are known."""
    known = [(step, r.value, r.interval) for step, r in points if r.value is not None and r.interval is not None]
    if known:
        steps, values, intervals = (np.array(numbers, np.float64) for numbers in zip(*known, strict=True))
        look: dict[str, Any] = {"color": "#0072b2", "alpha": 0.18, "linewidth": 0, "label": "95 % interval"}
        ax.fill_between(steps, values - intervals, values + intervals, **look)


def draw_collapse(records: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw `collapse.png`: a panel per collapse monitor, a line per level beside its value at init, lines for alarms.

    Returns:
        Its path; None where nothing was measured.
    """
    validations = [record for record in records if record["kind"] in ("validation", "random_init")]
    if not any(record.get("rank") for record in validations if record["kind"] == "validation"):
        return None
    with mpl.rc_context(STYLE):
        return _draw_collapse(validations, stage_starts(records), folder / "collapse.png")


def _draw_collapse(validations: Sequence[Mapping[str, Any]], starts: Mapping[int, int], path: Path) -> Path:
    """Colours are the levels', the same in all panels; pairs of levels, which CKA compares, have further ones."""
    # A validation keeps rank and std by themselves and all others in `monitors`: here they are alike.
    measured = [record | (record.get("monitors") or {}) for record in map(dict, validations)]
    records = [record for record in measured if record["kind"] == "validation"]
    floors = _before_training(measured, starts)
    shown = [name for name in MONITORS if _names(records, name)]
    names = list(dict.fromkeys(name for monitor in shown for name in _names(records, monitor)))
    rows = -(-len(shown) // 3)
    fig = Figure((9.6, 0.3 + 2.6 * rows), layout="constrained")
    axes = fig.subplots(rows, 3, squeeze=False).reshape(-1)
    for ax, monitor in zip(axes, shown, strict=False):
        for name in _names(records, monitor):
            index = names.index(name)
            colour = COLOURS[index % len(COLOURS)]
            look = {"color": colour, "marker": MARKERS[index % len(MARKERS)], "markersize": 4}
            _plot(ax, records, (monitor, name), label=name, **look)
            _draw_floors(ax, floors, (monitor, name), colour, whole=not starts)
        _log_if_wide(ax)
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0)
        for index, record in enumerate(record for record in records if record.get("alarms")):
            ax.axvline(record["step"], color="#c00000", linewidth=1.5, label=None if index else "alarm (\u25bc)")
            ax.plot(record["step"], 1, "v", color="#c00000", clip_on=False, transform=ax.get_xaxis_transform())
        mark_stages(ax, starts)
        ax.set(title=MONITORS[monitor].panel, xlabel="step")
        ax.legend(*ax.get_legend_handles_labels(), fontsize=8)
    for ax in axes[len(shown) :]:
        ax.axis("off")
    return save_figure(fig, path)


def _before_training(
    measured: Sequence[Mapping[str, Any]], starts: Mapping[int, int]
) -> list[tuple[Mapping[str, Any], int]]:
    """What a stage, or the run, was measured at before its first step, and the step until which that counts.

    Args:
        measured: the validations.
        starts: see `stage_starts`.
    """
    firsts = {stage[0].get(STAGE): stage[0] for stage in by_stage(measured)}
    stages, begins = (list(starts), list(starts.values())) if starts else ([None], [0])
    floors = []
    for stage, begin, end in zip(stages, begins, [*begins[1:], measured[-1]["step"]], strict=True):
        if stage in firsts and firsts[stage]["step"] == begin:
            floors.append((firsts[stage], end))
    return floors


def _draw_floors(
    ax: Axes, floors: Sequence[tuple[Mapping[str, Any], int]], keys: tuple[str, ...], colour: str, whole: bool
) -> None:
    """The values before training, over the steps of each stage; `whole`: over the whole width."""
    look: dict[str, Any] = {"color": colour, "linestyle": "--", "linewidth": 0.9, "alpha": 0.7}
    for record, end in floors:
        value = float(_values([record], keys)[0])
        if not np.isfinite(value):
            continue
        if whole:
            ax.axhline(value, **look)
        else:
            ax.plot([record["step"], end], [value, value], **look)


def _plot(ax: Axes, records: Sequence[Mapping[str, Any]], keys: tuple[str, ...], **look: Any) -> None:
    values = _values(records, keys)
    known = np.isfinite(values)
    if known.any():
        ax.plot(np.array([record["step"] for record in records])[known], values[known], **look)


def _plot_by_stage(
    ax: Axes, records: Sequence[Mapping[str, Any]], keys: tuple[str, ...], label: str | None = None, **look: Any
) -> None:
    """A line for each stage, so that none runs through a stage in which a level was frozen."""
    for part in by_stage(records):
        known = int(np.isfinite(_values(part, keys)).sum())
        if known:
            _plot(ax, part, keys, label=label, **look, marker="." if known == 1 else None)
            label = None  # once in the legend


def _values(records: Sequence[Mapping[str, Any]], keys: tuple[str, ...]) -> NDArray[np.float64]:
    """`record[keys[0]][keys[1]]...` of every record; NaN where it is absent or null."""
    values = []
    for record in records:
        value: Any = record
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        values.append(np.nan if value is None else float(value))
    return np.array(values)


def _names(records: Sequence[Mapping[str, Any]], *keys: str) -> list[str]:
    """Keys of the mapping at `keys`, over all records, in their order."""
    names: dict[str, None] = {}
    for value in records:
        for key in keys:
            value = value.get(key) or {}
        names.update(dict.fromkeys(value))
    return list(names)


def _log_if_wide(ax: Axes) -> None:
    """Draw values that span more than two orders of magnitude on a logarithmic axis."""
    values = np.concatenate([np.ones(0), *(np.asarray(line.get_ydata(), dtype=float) for line in ax.lines)])
    if values.size and 0 < values.min() < values.max() / 100:
        ax.set_yscale("log")
