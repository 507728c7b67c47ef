from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from config.figures import MODEL_FIGURES
from runs.reporting import pace
from runs.reporting.drawing import save_figure
from runs.reporting.model_figure_captions import MODEL_FIGURE_CAPTIONS
from runs.reporting.pace import draw_pace
from tests.pictures import step


def timed(number: int, **more: object) -> dict[str, object]:
    return step(number, lr=0.1 * number, seconds=2.0, data_wait=0.5 * number, **more)


def test_rate_time_and_waiting_are_drawn_and_skipped_steps_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []

    def keep(fig: Figure, path: Path) -> Path:
        figures.append(fig)
        return save_figure(fig, path)

    monkeypatch.setattr(pace, "save_figure", keep)
    records = [timed(1), timed(2, skipped=True), timed(3) | {"seconds": None}]
    assert draw_pace(records, tmp_path) == tmp_path / "pace.png"
    rate, seconds, share = figures[0].axes
    assert np.asarray(rate.lines[0].get_xydata()).tolist() == [[1, 0.1], [2, 0.2], [3, pytest.approx(0.3)]]
    assert np.asarray(rate.lines[1].get_xydata()).tolist() == [[2, 0.2]]
    assert np.asarray(seconds.lines[1].get_ydata()).tolist() == [0.5, 1.0, 1.5]
    assert np.asarray(share.lines[0].get_ydata())[:2].tolist() == [25, 50]
    assert np.isnan(np.asarray(share.lines[0].get_ydata())[2])


def test_records_of_older_versions_have_no_pace(tmp_path: Path) -> None:
    assert draw_pace([step(1), {"kind": "validation", "step": 1}], tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_every_model_figure_has_a_caption() -> None:
    assert tuple(MODEL_FIGURE_CAPTIONS) == MODEL_FIGURES
