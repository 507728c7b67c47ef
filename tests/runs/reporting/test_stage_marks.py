"""Curves that go on over the stages of a curriculum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from runs.reporting import curves
from runs.reporting.curves import draw_curves
from runs.reporting.stage_marks import by_stage, stage_starts


def validation(stage: int, step: int, rank: dict[str, float], kind: str = "validation") -> dict[str, Any]:
    knn = {level: {"digit": {"top1": 10.0 * stage + step, "chance": 10.0, "random_init": 5.0}} for level in rank}
    return {"kind": kind, "stage": stage, "step": step, "epoch": step, "knn": knn, "rank": rank, "std": rank}


def training(stage: int, step: int, *levels: str) -> dict[str, Any]:
    loss = {level: {"up": 1.0 + step} for level in levels}
    return {
        "kind": "step",
        "stage": stage,
        "step": step,
        "epoch": 0,
        "loss": loss,
        "grad_norm": dict.fromkeys(levels, 1.0),
    }


# The second stage freezes `space`; the third trains all.
RECORDS = [
    validation(1, 0, {"space": 8.0}),
    *(training(1, step, "space") for step in (1, 2)),
    validation(1, 2, {"space": 7.0}),
    validation(2, 2, {"space": 6.0, "time": 5.0}, kind="random_init"),
    validation(2, 2, {"space": 7.5, "time": 5.5}),
    *(training(2, step, "time") for step in (3, 4)),
    validation(2, 4, {"space": 7.5, "time": 9.0}),
    validation(3, 4, {"space": 4.0, "time": 3.0}, kind="random_init"),
    validation(3, 4, {"space": 7.0, "time": 8.0}),
    *(training(3, step, "space", "time") for step in (5, 6)),
    validation(3, 6, {"space": 7.1, "time": 8.1}),
]


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures by name, instead of files."""
    drawn: dict[str, Figure] = {}

    def keep(fig: Figure, path: Path) -> Path:
        fig.canvas.draw()
        drawn[path.stem] = fig
        return path

    monkeypatch.setattr(curves, "save_figure", keep)
    draw_curves(RECORDS, tmp_path)
    return drawn


def test_a_stage_begins_with_its_first_validation() -> None:
    assert stage_starts(RECORDS) == {1: 0, 2: 2, 3: 4}
    assert [len(part) for part in by_stage(RECORDS)] == [4, 5, 5]
    without = [{key: value for key, value in record.items() if key != "stage"} for record in RECORDS]
    assert stage_starts(without) == {}
    assert by_stage(without) == [without]


def test_every_figure_has_the_borders_and_their_names(figures: dict[str, Figure]) -> None:
    assert set(figures) == {"loss", "knn", "collapse"}
    for name, figure in figures.items():
        ax = figure.axes[0]
        borders = [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]]  # type: ignore[index, arg-type]
        assert borders == [2, 4], name
        assert [text.get_text() for text in ax.texts] == ["stage 1", "stage 2", "stage 3"]


def test_no_line_runs_through_a_stage_in_which_a_level_is_frozen(figures: dict[str, Figure]) -> None:
    of_space = figures["loss"].axes[0]
    drawn = [list(line.get_xdata()) for line in of_space.lines if list(line.get_ydata()) != [0, 1]]  # type: ignore[arg-type]
    assert drawn == [[1, 2], [5, 6]]
    assert [text.get_text() for text in of_space.get_legend().get_texts()] == ["up"]  # type: ignore[union-attr]


def test_each_stage_has_its_own_value_at_init(figures: dict[str, Figure]) -> None:
    panel = figures["collapse"].axes[0]
    dashed = [
        (list(line.get_xdata()), line.get_ydata()[0])  # type: ignore[arg-type, index]
        for line in panel.lines
        if line.get_linestyle() == "--" and list(line.get_ydata()) != [0, 1]  # type: ignore[arg-type]
    ]
    assert dashed == [([0, 2], 8), ([2, 4], 6), ([4, 6], 4), ([2, 4], 5), ([4, 6], 3)]
    (space,) = [line for line in panel.lines if line.get_label() == "space"]
    assert list(space.get_ydata()) == [8, 7, 7.5, 7.5, 7, 7.1]  # type: ignore[arg-type]


def test_a_stage_without_a_floor_begins_where_the_one_before_it_ends(
    tmp_path: Path, figures: dict[str, Figure]
) -> None:
    left_out = [record for record in RECORDS if not (record["stage"] == 2 and record["step"] == 2)]
    assert stage_starts(left_out) == {1: 0, 2: 2, 3: 4}
    draw_curves(left_out, tmp_path)
    (panel,) = [ax for ax in figures["collapse"].axes if ax.get_title() == "effective rank"]
    lines = [np.asarray(line.get_xydata()).tolist() for line in panel.lines if line.get_linestyle() == "--"]
    # The first validation of stage 2, after its training, is nobody's floor.
    assert [line for line in lines if line[0][1] == line[1][1]] == [
        [[0, 8], [2, 8]],
        [[4, 4], [6, 4]],
        [[4, 3], [6, 3]],
    ]
    assert stage_starts(left_out[1:])[1] == 0
