"""How well each class is known, from what a classifier said of the test videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from protocols.encoded_split import FloatArray, Groups
from protocols.metrics import average_precisions, mean_interval
from protocols.predictions import MultiPredictions, Predictions
from runs.process.seeds import numpy_generator
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering

LISTED_CLASSES = 24  # with their scores; of a larger set, half of them the best and half the worst
COLUMNS = 4  # of panels
NAME_CELLS, TITLE_CELLS = 22, 24
RESAMPLES = 200  # of videos, for the interval of an average precision
Said = Predictions | MultiPredictions


def draw_class_scores(said: Sequence[Said], groups_N: Groups, folder: Path) -> Path | None:
    """Draws `class_scores.png`: for each level a score of every class, with its interval and its number of test videos.

    Args:
        said: what a classifier says, of each level on one label set.
        groups_N: of the videos, for the intervals; None where each is a group of its own.
        folder: where the figure goes.

    Returns:
        Its path; None where there is nothing to draw.
    """
    tables = [(each, class_table(each, groups_N)) for each in said]
    tables = [(each, table) for each, table in tables if table.names]
    if not tables:
        return None
    letters = Lettering()
    names = [[letters.text(name, NAME_CELLS) for name in table.names] for _, table in tables]
    titles = [title_of(each, table.note, letters) for each, table in tables]
    tallest = max(len(table.names) for _, table in tables)
    columns = min(COLUMNS, len(tables))
    rows = -(-len(tables) // columns)
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((3.6 * columns, 0.5 + rows * (1.1 + 0.19 * tallest)), layout="constrained")
        axes = fig.subplots(rows, columns, squeeze=False).reshape(-1)
        for ax, (_, table), of_table, title in zip(axes, tables, names, titles, strict=False):
            _draw_table(ax, table, of_table)
            ax.set_title(title, fontsize=9, parse_math=False)
        for ax in axes[len(tables) :]:
            ax.axis("off")
        key = "95 % intervals; in brackets: test videos, or parts; dashed: mean"
        lines = ["Score of each class", *(key.split("; ", 1) if columns == 1 else [key])]
        fig.suptitle("\n".join(lines), fontsize=9, fontweight="bold")
        return save_figure(fig, folder / "class_scores.png")


@dataclass(frozen=True)
class ClassTable:
    """Scores of classes, the best first."""

    names: list[str]
    values: list[float]
    """Percent."""
    intervals: list[float]
    """Half the width of the 95 % interval."""
    counts: list[int]
    """Test videos, or parts of them, that show the class."""
    mean: float
    metric: str
    note: str


def class_table(said: Said, groups_N: Groups) -> ClassTable:
    """Accuracy of each class, or average precision where a video may have several; of a large set the best and worst.

    Args:
        said: what a classifier says.
        groups_N: of the videos; None where each is a group of its own.
    """
    if isinstance(said, MultiPredictions):
        return _precision_table(said, groups_N)
    labels, known_N = said.labels, said.labels.is_known
    parts = labels.values.shape[1]
    truth_M = labels.values[known_N].reshape(-1)
    right_M = said.probabilities_NKC[known_N].argmax(axis=2).reshape(-1) == truth_M
    groups = np.arange(len(known_N)) if groups_N is None else groups_N  # parts of a video are right together
    groups_M = groups[known_N].repeat(parts)
    counts_C = np.bincount(truth_M, minlength=len(labels.classes))
    values_C = np.bincount(truth_M, weights=right_M, minlength=len(counts_C)) / np.maximum(counts_C, 1)
    shown = _best_and_worst(np.where(counts_C > 0, values_C, np.nan))
    of_class = [truth_M == number for number in shown]
    intervals = [mean_interval(right_M[mine].astype(np.float64), groups_M[mine]) for mine in of_class]
    mean = 100 * float(right_M.mean()) if len(right_M) else 0.0
    return _table(labels.classes, shown, 100 * values_C, intervals, counts_C, mean, "accuracy")


def _precision_table(said: MultiPredictions, groups_N: Groups) -> ClassTable:
    labels, known_N = said.labels, said.labels.is_known
    shows_MC, scores_MC = labels.shows_NC[known_N], said.scores_NC[known_N]
    precisions_C = average_precisions(scores_MC, shows_MC)[0]
    shown = _best_and_worst(precisions_C)
    groups_M = np.arange(len(shows_MC)) if groups_N is None else groups_N[known_N]
    intervals = _precision_intervals(scores_MC[:, shown], shows_MC[:, shown], groups_M)
    mean = 100 * float(np.nanmean(precisions_C)) if len(shown) else 0.0
    counts_C = shows_MC.sum(axis=0)
    return _table(labels.classes, shown, 100 * precisions_C, intervals, counts_C, mean, "average precision")


def _precision_intervals(
    scores_MC: FloatArray, shows_MC: NDArray[np.bool_], groups_M: NDArray[np.generic]
) -> list[float]:
    """Half the width of the 95 % interval of each average precision in percent, by a bootstrap over groups."""
    if not len(groups_M):
        return []
    names, group_M = np.unique(groups_M.astype(str), return_inverse=True)
    drawn_SG = numpy_generator(0, len(names), RESAMPLES).integers(len(names), size=(RESAMPLES, len(names)))
    counts_SG = np.stack([np.bincount(drawn_G, minlength=len(names)) for drawn_G in drawn_SG]).astype(np.float64)
    precisions_SC = average_precisions(scores_MC, shows_MC, counts_SG[:, group_M])
    low_C, high_C = np.nanpercentile(precisions_SC, [2.5, 97.5], axis=0)
    return [100 * float(width) / 2 for width in high_C - low_C]


def _best_and_worst(values_C: NDArray[np.float64]) -> NDArray[np.int64]:
    """The classes that have a value, the best first; of many the best and the worst ones."""
    order = np.argsort(-values_C, kind="stable")
    order = order[~np.isnan(values_C[order])]
    if len(order) > LISTED_CLASSES:
        half = LISTED_CLASSES // 2
        order = np.concatenate([order[:half], order[-half:]])
    return order


def _table(
    classes: Sequence[str],
    shown: NDArray[np.int64],
    values_C: NDArray[np.float64],
    intervals: Sequence[float],
    counts_C: NDArray[np.int64],
    mean: float,
    metric: str,
) -> ClassTable:
    of = (
        f"; best and worst {LISTED_CLASSES // 2} of {(counts_C > 0).sum()}" if len(shown) < (counts_C > 0).sum() else ""
    )
    return ClassTable(
        [classes[number] for number in shown],
        [float(values_C[number]) for number in shown],
        list(intervals),
        [int(counts_C[number]) for number in shown],
        mean,
        metric,
        f"mean {mean:.1f} %{of}",
    )


def _draw_table(ax: Axes, table: ClassTable, names: Sequence[str]) -> None:
    places = np.arange(len(names))
    values = np.array(table.values)
    low, high = (np.clip(values + sign * np.array(table.intervals), 0, 100) for sign in (-1, 1))
    ax.hlines(places, low, high, color="#888888", linewidth=1.4)
    ax.plot(values, places, linestyle="", marker="o", markersize=4.5, color="#0072b2")
    ax.axvline(table.mean, color="#555555", linestyle="--", linewidth=0.9)
    if "of" in table.note.split("%")[-1]:
        ax.axhline(LISTED_CLASSES // 2 - 0.5, color="#555555", linewidth=0.8)
    labels = [f"{name} ({count})" for name, count in zip(names, table.counts, strict=True)]
    ax.set_yticks(places, labels, fontsize=7, parse_math=False)
    ax.set(xlim=(-2, 102), ylim=(len(names) - 0.4, -0.6))
    ax.tick_params(axis="x", labelsize=8)
    ax.set_xlabel(f"{table.metric}, %", fontsize=8)


def title_of(said: Said, note: str, letters: Lettering) -> str:
    """The title of a panel: level and label set, and a note below them."""
    of = " \u00b7 ".join(filter(None, (said.level, letters.text(said.labels.name, TITLE_CELLS))))
    return f"{of}\n{note}"


def own_predictions(said: Sequence[tuple[str, Said]], evaluation: str | None, own: Mapping[str, str]) -> list[Said]:
    """What classifiers said in one evaluation, for each level on the labels that it is judged by.

    Args:
        said: by name of the evaluation.
        evaluation: the one that is preferred; else the first that said anything.
        own: by level, its labels.
    """
    names = [name for name, _ in said]
    name = evaluation if evaluation in names else next(iter(names), None)
    mine = [each for other, each in said if other == name]
    judged = [each for each in mine if each.level is None or own.get(each.level) == each.labels.name]
    return judged or mine
