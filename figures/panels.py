"""Panels of points side by side, with the legends of what colours them below: a page that fits on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import UNKNOWN
from figures.colouring import NONE, OTHER, Colouring, IntArray
from figures.legends import WIDTH, Legend
from runs.reporting.drawing import COLOURS, STYLE, save_figure
from runs.reporting.drawn_text import Lettering

SIDE = 3.2  # inches, of a panel that stands alone
SMALL_SIDE = 1.7  # of one of many
_SMALL = 2.0  # inches: a smaller panel has smaller points
SIZES = (1.0, 0.4, 0.12)  # areas of a point's classes, one inside the other
_HEAD = 0.4  # inches, of a page's title
_LETTER = 0.0083  # inches of a letter of one point, on average


@dataclass(frozen=True)
class Panel:
    """A panel of points."""

    title: str
    """May come from data; shortened where it is too long."""
    points: NDArray[np.float64] | str
    """[P, 2], or why there are none."""
    classes: IntArray
    """[P, S] values of `colouring`."""
    colouring: Colouring | None
    """None: all points look alike."""
    label: str = ""
    """The text beside its row; may come from data, too."""


def draw_page(title: str, rows: Sequence[Sequence[Panel]], path: Path, side: float = SIDE) -> Path:
    """Draws panels in rows, and the legends of all their colourings.

    Args:
        title: of the page.
        rows: of panels; shorter ones leave room at their end.
        path: of the file; what it ends in says its kind.
        side: inches of a panel.

    Raises:
        InputError: the file cannot be written.
    """
    letters = Lettering()
    shown = {panel.colouring.name: panel.colouring for row in rows for panel in row if panel.colouring}
    legends = [Legend.of(colouring, letters) for colouring in shown.values()]
    columns = max((len(row) for row in rows), default=1)
    wide = max(columns * (side + 0.2 if side == SIDE else side), WIDTH * max(1, len(legends)))
    side = min(SIDE, max(side, wide / columns - 0.2))  # a few small panels fill a page that its legends make wide
    size, letter = 11.0 if side > _SMALL else 5.0, 10.0 if side == SIDE else 9.0
    below = max((legend.height for legend in legends), default=0)
    cells = int((wide - 0.4) / columns / (letter * _LETTER))
    titles = [[letters.text(panel.title, cells) for panel in row] for row in rows]
    labels = [[letters.text(panel.label, int(side / (letter * _LETTER))) for panel in row] for row in rows]
    head = letters.text(title, int(wide / (12 * _LETTER)), lines=2)
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((wide, _HEAD + side * len(rows) + below), layout="constrained")
        fig.suptitle(head, fontsize=12, fontweight="bold", parse_math=False)
        heights = [side * len(rows), below] if legends else [1.0]
        pages = fig.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        axes = pages[0].subplots(len(rows), columns, squeeze=False)
        for line, panels, *texts in zip(axes, rows, titles, labels, strict=True):
            for ax in line[len(panels) :]:
                ax.axis("off")
            for ax, panel, name, label in zip(line, panels, *texts, strict=False):
                draw_panel(ax, panel, size)
                ax.set_title(name, fontsize=letter, parse_math=False)
                ax.set_ylabel(label, fontsize=letter, parse_math=False)
        if legends:
            for ax, legend in zip(pages[1].subplots(1, len(legends), squeeze=False)[0], legends, strict=True):
                legend.draw(ax)
        return save_figure(fig, path)


def draw_panel(ax: Axes, panel: Panel, size: float) -> None:
    """Points of `size` square points; grey ones below those that have a colour."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    points = panel.points
    if isinstance(points, str):
        ax.text(0.5, 0.5, points, ha="center", va="center", transform=ax.transAxes, color="#a33")
        return
    if panel.colouring is None:
        ax.scatter(points[:, 0], points[:, 1], s=size, alpha=0.8, linewidths=0, color=COLOURS[0])
        return
    if panel.colouring.several:
        size *= 2  # so that what is inside can be seen
    for area, value_P in zip(SIZES, panel.classes.T, strict=False):
        other_P = (value_P >= 0) & ~np.isin(value_P, panel.colouring.named)
        shown_P = np.where(other_P, OTHER, value_P)
        # One call for each marker, so that no class lies on top of all others.
        by_marker: dict[tuple[bool, str], list[int]] = {}
        for value in (UNKNOWN, OTHER, NONE, *panel.colouring.named):
            by_marker.setdefault((value < 0, panel.colouring.look(value)["marker"]), []).append(value)
        for (_, marker), values in by_marker.items():
            mine_P = np.isin(shown_P, values)
            if not mine_P.any():
                continue
            colours = [panel.colouring.look(int(value))["color"] for value in shown_P[mine_P]]
            line = 0.9 if marker == "x" else 0
            alpha = 0.8 if area == SIZES[0] else 1.0  # what is inside keeps its colour
            look: dict[str, Any] = {"s": size * area, "alpha": alpha, "linewidths": line, "marker": marker}
            ax.scatter(points[mine_P, 0], points[mine_P, 1], color=colours, **look)
