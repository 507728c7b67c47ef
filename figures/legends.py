"""The classes of a colouring, below the panels that it colours."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.colouring import Colouring
from runs.reporting.drawn_text import Lettering, width

CELLS = {4: 9, 2: 17, 1: 42}  # of a line, by number of columns, at WIDTH
WIDTH = 3.4  # inches
TITLE_CELLS = 20  # of the colouring's name


@dataclass(frozen=True)
class Legend:
    """The named classes of a colouring, and what its greys mean."""

    title: str
    names: list[str]
    """Wrapped."""
    values: list[int]
    """The classes, or OTHER and the like, that these are the names of."""
    columns: int
    colouring: Colouring

    @classmethod
    def of(cls, colouring: Colouring, letters: Lettering) -> Legend:
        """Its texts in letters that can be drawn."""
        classes = {value: colouring.classes[value] for value in colouring.named} | colouring.greys
        widest = max((width(letters.text(name, sys.maxsize)) for name in classes.values()), default=0)
        columns = next((columns for columns, cells in CELLS.items() if widest <= cells), 1)
        names = [letters.text(name, CELLS[columns], lines=3) for name in classes.values()]
        title = letters.text(colouring.name, TITLE_CELLS)
        if len(colouring.named) < len(colouring.classes):
            title += f" ({len(colouring.named)} of {len(colouring.classes)} classes)"
        elif colouring.several:
            title += " (one inside the other: both)"
        return cls(title, names, list(classes), columns, colouring)

    @property
    def height(self) -> float:
        """Inches, its title included."""
        lines = [name.count("\n") + 1 for name in self.names]
        rows = -(-len(lines) // self.columns)
        columns = [lines[start : start + rows] for start in range(0, len(lines), rows or 1)]
        return 0.35 + max((0.15 * sum(column) + 0.06 * len(column) for column in columns), default=0)

    def draw(self, ax: Axes) -> None:
        """Fills `ax`, which is as high as `height` and as wide as WIDTH."""
        handles = [
            Line2D([], [], linestyle="", markersize=5.5, label=name, **self.colouring.look(value))
            for value, name in zip(self.values, self.names, strict=True)
        ]
        spacing = {"borderaxespad": 0, "columnspacing": 1, "handletextpad": 0.1, "labelspacing": 0.25}
        ax.axis("off")
        legend = ax.legend(handles=handles, title=self.title, loc="upper center", ncols=self.columns, **spacing)
        for text in (legend.get_title(), *legend.get_texts()):
            text.set_parse_math(False)
