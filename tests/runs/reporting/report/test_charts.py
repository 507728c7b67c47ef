from __future__ import annotations

import pytest

from runs.reporting.report.charts import COLLAPSE, LOSSES, MAX_POINTS, SCORES, TRAINING, Chart, Line, charts_of
from runs.reporting.report.charts_together import charts_together
from runs.reporting.report.drawn_chart import HEIGHT, LEFT, WIDTH, drawn, short
from runs.results import Result, as_records
from tests.runs.conftest import make_records


def named(charts: list[Chart], section: str, title: str) -> Chart:
    (found,) = [chart for chart in charts if (chart.section, chart.title) == (section, title)]
    return found


def test_a_run_has_charts_of_scores_losses_training_and_collapse() -> None:
    charts = charts_of(make_records(), {"knn": "kNN"})
    score = named(charts, SCORES, "kNN · clip · program")
    assert [line.kind for line in score.lines] == ["value", "init", "chance"]
    assert score.lines[0].points[0] == (0, 30)
    assert [line.name for line in named(charts, LOSSES, "space").lines] == [
        "up",
        "down",
        "side",
        "variance",
        "covariance",
    ]
    assert [line.name for line in named(charts, TRAINING, "gradient norm").lines] == ["space", "time", "clip"]
    waiting = named(charts, TRAINING, "waiting for data")
    assert waiting.lines[0].points[0] == pytest.approx((10, 100 * 0.1 / 0.28))
    rank = named(charts, COLLAPSE, "effective rank")
    assert rank.alarms == [380]
    assert [line.name for line in rank.lines if line.kind == "value"] == ["space", "time", "clip"]


def test_a_level_is_shown_on_its_own_labels_first() -> None:
    results = [Result("knn", "d", "val", "space", name, "top1", 50.0, own=name == "b") for name in ("a", "b")]
    charts = charts_of([{"kind": "validation", "step": 0, "results": as_records(results)}], {})
    assert [(chart.title, chart.own) for chart in charts] == [("knn · space · a", False), ("knn · space · b", True)]


def test_intervals_are_bands_inside_of_what_can_be() -> None:
    results = [Result("knn", "d", "val", "space", "a", "top1", 98.0, interval=5.0)]
    (chart,) = charts_of([{"kind": "validation", "step": 7, "results": as_records(results)}], {})
    assert chart.lines[0].band == [(7, 93.0, 100.0)]


def test_long_lines_are_means_over_neighbours() -> None:
    records = [{"kind": "step", "step": step, "loss": {"space": {"up": float(step)}}} for step in range(1, 1001)]
    (chart,) = charts_of(records, {})
    points = chart.lines[0].points
    assert len(points) <= MAX_POINTS
    assert points[0] == (3, 3)  # steps 1 to 5
    assert all(step == value for step, value in points)


def test_values_that_are_not_known_have_no_point() -> None:
    records = [
        {"kind": "step", "step": 1, "loss": {"space": {"up": None, "down": 1.0}}, "seconds": 0},
        {"kind": "step", "step": 2, "loss": {"space": {"up": None}}},
    ]
    (chart,) = charts_of(records, {})
    assert [(line.name, line.points) for line in chart.lines] == [("up", []), ("down", [(1, 1.0)])]
    assert [line.name for line in drawn(chart).lines] == ["down"]
    assert charts_of([], {}) == []


def test_a_chart_stays_inside_of_its_frame_and_says_what_it_shows() -> None:
    chart = Chart(
        SCORES, "kNN · clip", [Line("score", [(0, 15.0), (225, 93.33)], [(0, 10, 20), (225, 90, 97)])], "%", True
    )
    shown = drawn(chart)
    places = [point[2:] for point in shown.data["lines"][0]["points"]]
    assert places[0][0] == LEFT
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert places[0][1] > places[1][1]  # higher is further up
    assert [text for _, text in shown.up] == ["0", "25", "50", "75"]
    assert shown.words == "kNN · clip: score from 15 at step 0 to 93.3 % at 225."


@pytest.mark.parametrize("values", [[0.0], [-3.0, -3.0], [1e-9, 1e9], [0.0, 1e-300], [5.0, 5.0, 5.0]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    for from_zero in (True, False):
        shown = drawn(Chart(LOSSES, "x", [Line("x", list(enumerate(values)))], from_zero=from_zero))
        for _, _, _, y in shown.data["lines"][0]["points"]:
            assert 0 <= y <= HEIGHT
        assert len(shown.up) <= 12


def test_values_over_orders_of_magnitude_are_drawn_on_a_logarithmic_axis() -> None:
    shown = drawn(Chart(LOSSES, "lr", [Line("lr", [(0, 1e-6), (1, 1e-3), (2, 1.0)])]))
    first, middle, last = [point[3] for point in shown.data["lines"][0]["points"]]
    assert first - middle == pytest.approx(middle - last, abs=0.2)


def test_numbers_are_short() -> None:
    assert [short(value) for value in (0, 0.25, 12.345, 1200, 93.0, 2e-6, -0.5)] == [
        "0",
        "0.25",
        "12.3",
        "1,200",
        "93",
        "2e-06",
        "-0.5",
    ]


# ---------------------------------------------------------------------------------------------- several runs


def scores(*points: tuple[float, float], init: float = 10.0, chance: float = 8.0) -> list[Chart]:
    end = points[-1][0]
    lines = [
        Line("score", list(points), [(step, value - 1, value + 1) for step, value in points]),
        Line("random init", [(0, init), (end, init)], kind="init"),
        Line("chance", [(0, chance), (end, chance)], kind="chance"),
    ]
    return [Chart(SCORES, "kNN", lines, "%")]


def test_seeds_are_a_mean_and_a_band_and_chance_is_there_once() -> None:
    first, second = scores((0, 10), (4, 30)), scores((0, 20), (4, 50), init=20.0)
    (chart,) = charts_together([("a", [first, second]), ("b", [scores((0, 1), (4, 2))])])
    assert chart.title == "kNN"
    assert [(line.name, line.kind, line.look) for line in chart.lines] == [
        ("a", "value", 0),
        ("a, random init", "init", 0),
        ("chance", "chance", 0),
        ("b", "value", 1),
        ("b, random init", "init", 1),
    ]
    assert chart.lines[0].points == [(0, 15), (4, 40)]
    assert chart.lines[0].band == [(0, 10, 20), (4, 30, 50)]
    assert chart.lines[1].points == [(0, 15), (4, 15)]
    assert chart.lines[3].band == [(0, 0, 2), (4, 1, 3)]  # of a single run: the interval


def test_runs_of_different_lengths_are_a_mean_as_far_as_all_have_come() -> None:
    (chart,) = charts_together([("a", [scores((0, 0), (2, 2), (4, 4)), scores((0, 2), (3, 5))])])
    assert chart.lines[0].points == [(0, 1), (2, 3)]


def test_a_curve_that_one_run_lacks_is_shown_of_the_others() -> None:
    loss = [Chart(LOSSES, "space", [Line("up", [(1, 1.0)]), Line("down", [(1, 2.0)], look=1)])]
    other = [Chart(LOSSES, "space", [Line("up", [(1, 3.0)])])]
    up, down = charts_together([("a", [loss]), ("b", [other])])
    assert (up.title, [line.name for line in up.lines]) == ("space · up", ["a", "b"])
    assert (down.title, [line.name for line in down.lines]) == ("space · down", ["a"])
