"""The pace of a training: its learning rate, and how long its steps took and waited for data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.stage_marks import mark_stages, stage_starts


def draw_pace(records: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Draws `pace.png`: the learning rate, the seconds of a step, and the share of them spent waiting for data.

    Steps that were skipped, since a loss or a gradient was not finite, are marked.

    Args:
        records: of metrics.jsonl.
        folder: where the figure goes.

    Returns:
        Its path; None where no step was logged.
    """
    steps = [record for record in records if record["kind"] == "step" and "lr" in record]
    if not steps:
        return None
    number, rate, seconds, wait = (_numbers(steps, key) for key in ("step", "lr", "seconds", "data_wait"))
    share = 100 * wait / np.where(seconds > 0, seconds, np.nan)
    with mpl.rc_context(STYLE):
        fig = Figure((9.6, 2.7), layout="constrained")
        axes = fig.subplots(1, 3)
        axes[0].plot(number, rate, color="#332288")
        axes[0].set_title("learning rate (before lr_scale)")
        axes[1].plot(number, seconds, color="#0072b2", label="whole step")
        axes[1].plot(number, wait, color="#d55e00", linestyle="--", label="of it waiting for data")
        axes[1].set_title("seconds of a step")
        axes[2].plot(number, share, color="#d55e00", linestyle="--")
        axes[2].set(title="waiting for data, % of the time", ylim=(-2, 102))
        _mark_skipped(axes[0], steps)
        for ax in axes[:2]:
            ax.set_ylim(bottom=0)
            if ax.get_legend_handles_labels()[0]:
                ax.legend(fontsize=8)
        for ax in axes:
            ax.set_xlabel("step")
            mark_stages(ax, stage_starts(records))
        return save_figure(fig, folder / "pace.png")


def _numbers(steps: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """Nan where a record has none."""
    return np.array([np.nan if step.get(key) is None else step[key] for step in steps], np.float64)


def _mark_skipped(ax: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    skipped = [step for step in steps if step.get("skipped")]
    if skipped:
        look: dict[str, Any] = {"linestyle": "", "marker": "X", "color": "#c00000", "label": "skipped: not finite"}
        ax.plot(_numbers(skipped, "step"), _numbers(skipped, "lr"), **look)
