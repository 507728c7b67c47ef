"""What a classifier takes for what: a matrix of true classes and answers for each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.class_scores import NAME_CELLS, Said, title_of
from protocols.metrics import confusion
from protocols.predictions import Predictions
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering, width

MATRIX_CLASSES = 16  # of a matrix; of a larger set, those that are confused most, and the others as one
NUMBERED = 12  # classes of a matrix whose cells have room for numbers
OTHERS = "(all others)"


def draw_confused_classes(said: Sequence[Said], folder: Path) -> Path | None:
    """Draws `confused_classes.png`: a matrix for each level, true classes as rows, coloured by the share of a row.

    Args:
        said: what a classifier says, of each level on one label set; those of several classes at once are left out.
        folder: where the figure goes.

    Returns:
        Its path; None where there is nothing to draw.
    """
    singles = [each for each in said if isinstance(each, Predictions) and each.labels.is_known.any()]
    if not singles:
        return None
    letters = Lettering()
    matrices = [_matrix(each) for each in singles]
    names = [[letters.text(name, NAME_CELLS) for name in matrix.names] for matrix in matrices]
    titles = [title_of(each, matrix.note, letters) for each, matrix in zip(singles, matrices, strict=True)]
    columns = min(2, len(singles))
    rows = -(-len(singles) // columns)
    longest = max(width(name) for of_matrix in names for name in of_matrix)
    side = 0.8 + 0.065 * longest + max(1.4, 0.24 * max(len(matrix.names) for matrix in matrices))
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((columns * (side + 0.5), rows * side + 0.4), layout="constrained")
        axes = fig.subplots(rows, columns, squeeze=False).reshape(-1)
        for ax, matrix, of_matrix, title in zip(axes, matrices, names, titles, strict=False):
            _draw_matrix(ax, matrix, of_matrix)
            ax.set_title(title, fontsize=9, parse_math=False)
        for ax in axes[len(singles) :]:
            ax.axis("off")
        fig.suptitle("Test videos by true class (row) and answer (column)", fontsize=10, fontweight="bold")
        return save_figure(fig, folder / "confused_classes.png")


@dataclass(frozen=True)
class _Matrix:
    names: list[str]
    counts: NDArray[np.int64]
    """[C, C]."""
    note: str


def _matrix(said: Predictions) -> _Matrix:
    """All classes, or of a large set those that are confused most."""
    classes = said.labels.classes
    truth_M = said.labels.values.reshape(-1)
    named_M = said.probabilities_NKC.reshape(-1, len(classes)).argmax(axis=1)
    known_M = truth_M >= 0
    counts_CC = confusion(named_M[known_M], truth_M[known_M], len(classes))
    right = 100 * np.trace(counts_CC) / max(int(counts_CC.sum()), 1)
    if len(classes) <= MATRIX_CLASSES:
        return _Matrix(list(classes), counts_CC, f"{right:.1f} % right")
    shown = most_confused(counts_CC, MATRIX_CLASSES - 1)
    others = np.setdiff1d(np.arange(len(classes)), shown)
    groups = [np.array([number]) for number in shown] + [others]
    small = np.array([[counts_CC[np.ix_(row, column)].sum() for column in groups] for row in groups])
    names = [classes[number] for number in shown] + [OTHERS]
    return _Matrix(names, small, f"{right:.1f} % right; {len(shown)} of {len(classes)} classes, the most confused")


def most_confused(counts_CC: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` classes, ascending: those of the pairs that are most often confused, in either direction."""
    both_CC = np.triu(counts_CC + counts_CC.T, 1)
    chosen: list[int] = []
    for place in np.argsort(-both_CC, axis=None, kind="stable"):
        pair = [int(number) for number in np.unravel_index(place, both_CC.shape)]
        new = [number for number in pair if number not in chosen]
        if both_CC[pair[0], pair[1]] == 0 or len(chosen) + len(new) > count:
            break
        chosen += new
    return np.sort(np.array(chosen, np.int64))


def _draw_matrix(ax: Axes, matrix: _Matrix, names: Sequence[str]) -> None:
    shares = matrix.counts / np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    places = range(len(names))
    ax.set_xticks(places, names, rotation=90, fontsize=7, parse_math=False)
    ax.set_yticks(places, names, fontsize=7, parse_math=False)
    ax.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    ax.grid(visible=False)
    ax.grid(which="minor", color="#eeeeee", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    for (row, column), count in np.ndenumerate(matrix.counts):
        if count and len(names) <= NUMBERED:
            colour = "white" if shares[row, column] > 0.5 else "black"
            ax.text(column, row, f"{count}", ha="center", va="center", fontsize=6.5, color=colour)
