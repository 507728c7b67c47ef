"""How all figures of a run look, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
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
PRINT_DPI = 220

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
# The same picture gives the same bytes; text in a PDF stays text.
_REPEATABLE: dict[Any, Any] = {"svg.hashsalt": "figure", "pdf.fonttype": 42}
_METADATA: dict[Format, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_written: ContextVar[tuple[Format, int]] = ContextVar("written", default=("png", DPI))


@contextmanager
def figures_as(kind: Format, dpi: int = PRINT_DPI) -> Iterator[None]:
    """Inside, figures are written as files of another kind, or with more pixels to the inch."""
    token = _written.set((kind, dpi))
    try:
        yield
    finally:
        _written.reset(token)


def file_name(stem: str) -> str:
    """The name of a figure's file, as it is written here."""
    return f"{stem}.{_written.get()[0]}"


def save_figure(fig: Figure, path: Path) -> Path:
    """Writes a figure: a PNG file, or what `figures_as` says, whose name ends accordingly.

    Returns:
        Its path.

    Raises:
        InputError: the file cannot be written.
    """
    kind, dpi = _written.get()
    path = path.with_name(file_name(path.name.removesuffix(".png")))
    with atomic_write(path) as file, mpl.rc_context(_REPEATABLE):
        fig.savefig(file, format=kind, dpi=dpi, metadata=_METADATA[kind])
    return path
