"""How all figures of a run look, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from runs.process.atomic import atomic_write

# Twelve colours that stay apart for colour-blind readers and on grey print; markers help where they are not enough.
COLOURS = [
    *("#332288", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#882255"),
    *("#999933", "#0072b2", "#d55e00", "#44aa99", "#555555", "#ddcc77"),
]
MARKERS = "os^D"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}
DPI = 110


def save_figure(fig: Figure, path: Path) -> Path:
    """Writes a PNG file. Raises InputError where that is not possible."""
    with atomic_write(path) as file:
        fig.savefig(file, format="png", dpi=DPI)
    return path
