from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from config.errors import InputError
from runs.reporting import curves
from runs.reporting.curves import draw_curves, draw_scores
from runs.reporting.drawing import save_figure
from runs.results import Result, as_records
from tests.pictures import has_colour, pixels, step, validation


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that are drawn, by file name."""
    drawn: dict[str, Figure] = {}

    def record(fig: Figure, path: Path) -> Path:
        drawn[path.stem] = fig
        return save_figure(fig, path)

    monkeypatch.setattr(curves, "save_figure", record)
    return drawn


def test_curves_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    steps, validations = [step(i) for i in range(1, 5)], [validation(i) for i in (0, 4)]
    assert draw_curves([], tmp_path) == []
    assert [path.name for path in draw_curves(steps, tmp_path)] == ["loss.png"]
    assert [path.name for path in draw_curves(validations, tmp_path)] == ["knn.png", "collapse.png"]
    assert len(draw_curves([{"kind": "start"}, *steps, *validations], tmp_path)) == 3


def test_the_floors_and_the_score_are_in_the_picture(tmp_path: Path) -> None:
    draw_curves([validation(0), validation(30)], tmp_path)
    image = pixels(tmp_path / "knn.png")
    assert has_colour(image, "#0072b2")
    assert has_colour(image, "#d55e00")


def test_an_alarm_is_marked(tmp_path: Path) -> None:
    draw_curves([validation(0), validation(5)], tmp_path)
    assert not has_colour(pixels(tmp_path / "collapse.png"), "#c00000")
    draw_curves([validation(0), validation(5, ["space: rank 1.0"])], tmp_path)
    assert has_colour(pixels(tmp_path / "collapse.png"), "#c00000")


def test_every_monitor_has_a_panel_with_a_line_per_level_and_its_value_at_init(
    tmp_path: Path, figures: dict[str, Figure]
) -> None:
    def monitors(number: int) -> dict[str, dict[str, float]]:
        found = {
            "lidar": {"space": 5.0 + number, "time": 6.0},
            "shuffled_up": {"space": 1.0 - number / 10},
            "cka": {"space-time": 0.75},
        }
        return found | ({"grad_norm": {"space": 10.0**-number, "time": 1.0}} if number else {})

    draw_curves([validation(number, monitors=monitors(number)) for number in (0, 1, 4)], tmp_path)
    panels = {ax.get_title(): ax for ax in figures["collapse"].axes if ax.axison}
    assert list(panels) == [
        "effective rank",
        "LiDAR",
        "standard deviation",
        "up: error / shuffled",
        "gradient norm",
        "CKA of two levels",
    ]
    lines = {title: {str(line.get_label()): line for line in ax.lines} for title, ax in panels.items()}
    assert np.asarray(lines["LiDAR"]["space"].get_xydata()).tolist() == [[0, 5], [1, 6], [4, 9]]
    assert np.asarray(lines["gradient norm"]["space"].get_xydata()).tolist() == [[1, 0.1], [4, 0.0001]]
    dashed = {title: [line for line in ax.lines if line.get_linestyle() == "--"] for title, ax in panels.items()}
    assert [line.get_ydata()[0] for line in dashed["LiDAR"]] == [5, 6]  # type: ignore[index]
    assert dashed["gradient norm"] == []  # there is no step before training
    assert dashed["LiDAR"][0].get_color() == lines["LiDAR"]["space"].get_color()
    colours = {line.get_color() for of_panel in lines.values() for name, line in of_panel.items() if name == "space"}
    assert len(colours) == 1  # a level keeps its colour
    assert panels["gradient norm"].get_yscale() == "log"
    assert panels["LiDAR"].get_ylim()[0] == 0


def test_a_monitor_without_any_value_is_an_empty_panel(
    tmp_path: Path, figures: dict[str, Figure], recwarn: pytest.WarningsRecorder
) -> None:
    draw_curves([validation(0, monitors={"shuffled_up": {"space": None}, "lidar": {}})], tmp_path)
    titles = [ax.get_title() for ax in figures["collapse"].axes if ax.axison]
    assert titles == ["effective rank", "standard deviation", "up: error / shuffled"]
    assert [str(warning.message) for warning in recwarn if warning.category is not ResourceWarning] == []


def test_null_values_and_levels_that_come_later_are_gaps(tmp_path: Path) -> None:
    records = [
        step(1, loss={"space": {"down": None}}, grad_norm={"space": None}),
        step(2, loss={"space": {"down": 0.5}, "time": {"up": 0.7, "side": None}}, grad_norm={"all": 2.0}),
        validation(0, rank={"space": None}, std={}, knn={"space": {"digit": {"top1": None}}}),
        validation(2),
    ]
    records = [json.loads(json.dumps(record)) for record in records]
    assert len(draw_curves(records, tmp_path)) == 3


def test_a_figure_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*loss\.png: No such file"):
        draw_curves([step(1)], tmp_path / "absent")


def test_every_evaluation_has_a_figure_of_its_own(tmp_path: Path, figures: dict[str, Figure]) -> None:
    def results(value: float) -> list[Result]:
        near = Result("near", "digits", "val", "space", "digit", "top1", value, chance=10.0, random_init=12.0)
        rank = Result("search", "lips", "val", "clip", None, "recall at 5", value, unit="of 1")
        return [near, rank]

    records = [validation(number, results=as_records(results(value))) for number, value in ((0, 0.25), (4, 0.5))]
    drawn = draw_curves(records, tmp_path, {"near": "kNN (near)"})
    assert [path.name for path in drawn] == ["near.png", "search.png", "collapse.png"]
    titles = {name: [ax.get_title() for ax in figures[name].axes] for name in ("near", "search")}
    assert titles == {"near": ["space \u00b7 digit"], "search": ["clip \u00b7 recall at 5"]}
    (ax,) = figures["near"].axes
    assert ax.get_ylabel() == "top1, %"
    assert np.asarray(ax.lines[0].get_xydata()).tolist() == [[0, 0.25], [4, 0.5]]
    assert ax.lines[0].get_label() == "kNN (near)"
    assert len(figures["search"].axes[0].lines) == 1  # it has no floors
    assert draw_scores("absent", "absent", records, tmp_path) is None


def test_intervals_are_bands_around_the_score(tmp_path: Path, figures: dict[str, Figure]) -> None:
    def results(value: float | None, interval: float | None) -> list[Result]:
        return [Result("near", "digits", "val", "space", "digit", "top1", value, chance=10.0, interval=interval)]

    numbers = ((0, 20.0, 5.0), (2, None, 5.0), (4, 50.0, 3.0), (6, 60.0, None))
    records = [validation(at, results=as_records(results(value, interval))) for at, value, interval in numbers]
    draw_scores("near", "kNN", records, tmp_path)
    (band,) = figures["near"].axes[0].collections
    corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices).tolist()}
    assert corners == {(0.0, 15.0), (0.0, 25.0), (4.0, 47.0), (4.0, 53.0)}
    draw_scores("near", "kNN", [validation(0, results=as_records(results(20.0, None)))], tmp_path)
    assert len(figures["near"].axes[0].collections) == 0
