"""How well each level predicts its neighbours: errors by distance in time, and by place in time and in the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from config.schema import Config
from data_utils.views.views import make_views
from figures.sampled_windows import SampledWindows
from figures.windows import FirstWindows
from runs.reporting.drawing import STYLE, save_figure
from tasks.prediction_maps import ErrorMap
from tasks.task import Task

DIRECTIONS = ("up", "down", "side", "other view")
HEAT = "cividis"  # made for those who see fewer colours
COLOUR = "#0072b2"
_TIMES = {"backbone": "frame", "space": "frame", "time": "clip", "clip": "sequence"}  # of a unit
_INSIDE = {"time": "frame", "clip": "clip"}  # of the units inside one


def draw_prediction_errors(
    task: Task, sampled: SampledWindows, first: FirstWindows | None, config: Config, folder: Path
) -> Path | None:
    """Draws `prediction_errors.png`.

    Args:
        task: whose predictors are asked.
        sampled: windows of test videos, which are predicted.
        first: a training batch, in whose views units meet themselves; None: this is left out.
        config: the run's.
        folder: where the figure goes.

    Returns:
        Its path; None where the task predicts nothing, or there is only one window.
    """
    views = None
    if first is not None and len(task.views) > 1:
        views = make_views(first.batch.to(sampled.video_BTCHW.device), task.views, config, config.seed, epoch=0)
    maps = {level: found for level, found in task.prediction_maps(sampled.video_BTCHW, views).items() if found}
    if not maps:
        return None
    with mpl.rc_context(STYLE):
        return save_figure(_draw(maps, config.geometry.grid), folder / "prediction_errors.png")


def _draw(maps: Mapping[str, Sequence[ErrorMap]], grid: tuple[int, int]) -> Figure:
    """A row of panels for each level, a column for each direction; a second row where errors differ by both."""
    rows = [(level, row) for level, found in maps.items() for row in _rows(found)]
    columns = [name for name in DIRECTIONS if any(name in row for _, row in rows)]
    fig = Figure((2.5 * len(columns) + 0.9, 2.15 * len(rows) + 0.7), layout="constrained")
    axes = fig.subplots(len(rows), len(columns), squeeze=False)
    shade = Normalize(0, 1)
    for of_row, (level, row) in zip(axes, rows, strict=True):
        for ax, direction in zip(of_row, columns, strict=True):
            found = row.get(direction)
            if found is None:
                ax.axis("off")
            elif found.over == "place":
                _draw_places(ax, found, grid, shade)
            else:
                _draw_line(ax, found, level)
            if found is not None:
                ax.set_title(f"{level}: {direction}", fontsize=9)
    if any(found.over == "place" for _, row in rows for found in row.values()):
        bar = fig.colorbar(ScalarMappable(shade, HEAT), ax=axes, location="right", fraction=0.03, aspect=30, shrink=0.6)
        bar.set_label("the same, by patch of the frame", fontsize=8)
    fig.supylabel("error as a share of that against another video's target", fontsize=9)
    fig.suptitle(
        "Prediction errors; at 1 (dashed) a prediction knows nothing of its video", fontsize=10, fontweight="bold"
    )
    return fig


def _rows(maps: Sequence[ErrorMap]) -> list[dict[str, ErrorMap]]:
    """By direction the maps of one row of panels: those over time before those over the frame."""
    rows: list[dict[str, ErrorMap]] = [{}, {}]
    for found in maps:
        rows[found.direction in rows[0]][found.direction] = found
    return [row for row in rows if row]


def ratios(found: ErrorMap) -> NDArray[np.float64]:
    """The errors as shares of those against another window; 1 where even those are 0, as all targets are the same."""
    own_N, other_N = found.own_N.numpy(), found.other_N.numpy()
    ratios_N: NDArray[np.float64] = np.where(other_N > 0, own_N / np.where(other_N > 0, other_N, 1), 1.0)
    return ratios_N


def _draw_line(ax: Axes, found: ErrorMap, level: str) -> None:
    at_N, ratios_N = found.at_N.numpy(), ratios(found)
    names = {
        "distance": f"{_TIMES[level]}s later",
        "unit": f"{_TIMES[level]} of the window" if len(at_N) > 1 else "the whole window",
        "token": f"{_INSIDE.get(level, 'patch')} inside",
    }
    first = 0 if found.over == "distance" else 1
    for side in (at_N < 0, at_N >= 0):  # no line through the unit itself
        ax.plot(at_N[side] + first, ratios_N[side], color=COLOUR, marker="o", markersize=4)
    ax.axhline(1, color="#555555", linestyle="--", linewidth=0.9)
    ax.set(ylim=(0, max(1.08, 1.05 * float(np.nanmax(ratios_N, initial=0)))))
    ax.set_xlabel(names[found.over], fontsize=8)
    if len(at_N) > 8:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    else:
        ax.set_xticks(at_N + first)
    ax.tick_params(labelsize=8)


def _draw_places(ax: Axes, found: ErrorMap, grid: tuple[int, int], shade: Normalize) -> None:
    """Over the patches of a frame; a patch that nothing predicts stays white."""
    places_P = np.full(grid[0] * grid[1], np.nan)
    places_P[found.at_N.numpy()] = ratios(found)
    places_RC = places_P.reshape(grid)
    ax.imshow(places_RC, cmap=HEAT, norm=shade, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    if places_P.size > 64:
        return
    for (row, column), value in np.ndenumerate(places_RC):
        if np.isfinite(value):
            colour = "black" if value > 0.55 else "white"
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)
