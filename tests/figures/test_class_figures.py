"""Confused classes and scores of classes, from predictions that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from figures.class_scores import LISTED_CLASSES, class_table, draw_class_scores, own_predictions
from figures.confused_classes import MATRIX_CLASSES, OTHERS, draw_confused_classes, most_confused
from protocols.metrics import mean_interval
from protocols.predictions import MultiPredictions, Predictions
from tests.figures.model_runs import HOSTILE, texts_overlap


def said(
    truth_NK: NDArray[np.int64], named_NK: NDArray[np.int64], classes: list[str], level: str = "clip"
) -> Predictions:
    probabilities = np.eye(len(classes), dtype=np.float32)[named_NK]
    return Predictions(level, LabelSet("kind", classes, truth_NK), np.arange(len(truth_NK)), probabilities)


def make_said(classes: int, videos: int = 2000, seed: int = 0) -> Predictions:
    """A third is wrong, by the next class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=(videos, 1))
    named = np.where(rng.random((videos, 1)) < 1 / 3, (truth + 1) % classes, truth)
    return said(truth, named, [f"class {number}" for number in range(classes)])


def test_a_matrix_counts_true_classes_by_answers(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    truth, named = np.array([[0], [0], [1], [-1]]), np.array([[0], [1], [1], [1]])
    assert draw_confused_classes([said(truth, named, ["a", "b"])], tmp_path) is not None
    (ax,) = drawn["confused_classes"].axes
    assert {text.get_position(): text.get_text() for text in ax.texts} == {(0, 0): "1", (1, 0): "1", (1, 1): "1"}
    assert "66.7 % right" in ax.get_title()
    assert np.asarray(ax.images[0].get_array()).tolist() == [[0.5, 0.5], [0, 1]]


def test_of_a_large_set_those_that_are_confused_most_are_shown(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    predictions = make_said(400, videos=20000)
    draw_confused_classes([predictions], tmp_path)
    (ax,) = drawn["confused_classes"].axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert len(names) <= MATRIX_CLASSES
    assert names[-1] == OTHERS
    assert f"{len(names) - 1} of 400 classes" in ax.get_title()
    counts = np.zeros((6, 6), np.int64)
    counts[4, 2], counts[2, 4], counts[1, 5], counts[0, 3] = 3, 3, 5, 1
    assert most_confused(counts, 4).tolist() == [1, 2, 4, 5]
    assert most_confused(counts, 3).tolist() == [2, 4]
    assert most_confused(np.eye(4, dtype=np.int64), 3).tolist() == []


def test_nothing_to_draw_is_no_figure(tmp_path: Path) -> None:
    unknown = said(np.full((3, 1), -1), np.zeros((3, 1), np.int64), ["a", "b"])
    assert draw_confused_classes([unknown], tmp_path) is None
    assert draw_class_scores([unknown], None, tmp_path) is None
    assert draw_confused_classes([], tmp_path) is None
    assert draw_class_scores([], None, tmp_path) is None


def test_scores_of_classes_have_counts_and_intervals_by_group() -> None:
    truth = np.array([[0]] * 8 + [[1]] * 4 + [[-1]])
    named = np.array([[0]] * 6 + [[1]] * 2 + [[1]] * 4 + [[0]])
    table = class_table(said(truth, named, ["a", "b", "never"]), None)
    assert (table.names, table.counts) == (["b", "a"], [4, 8])
    assert table.values == pytest.approx([100, 75])
    assert table.intervals[1] == pytest.approx(mean_interval(np.array([1.0] * 6 + [0.0] * 2)))
    assert table.mean == pytest.approx(100 * 10 / 12)
    groups = np.array([f"g{number // 2}" for number in range(13)], object)
    of_groups = class_table(said(truth, named, ["a", "b", "never"]), groups)
    assert of_groups.intervals[1] > table.intervals[1]


def test_parts_of_a_video_are_right_together() -> None:
    truth = np.zeros((40, 2), np.int64)
    named = np.array([[0, 0]] * 20 + [[1, 1]] * 20)
    table = class_table(said(truth, named, ["a", "b"]), None)
    assert table.counts == [80]
    assert table.intervals[0] > mean_interval(np.array([1.0] * 40 + [0.0] * 40)) * 1.2


def test_several_classes_at_once_have_average_precisions() -> None:
    rng = np.random.default_rng(0)
    shows = rng.random((300, 3)) < [0.5, 0.2, 0.0]
    scores = (shows * [5.0, 0.0, 0.0] + rng.random((300, 3))).astype(np.float32)
    labels = MultiLabelSet("things", ["easy", "hard", "never"], shows, np.ones(300, np.bool_))
    table = class_table(MultiPredictions("clip", labels, np.arange(300), scores), None)
    assert table.names == ["easy", "hard"]
    assert table.values[0] == pytest.approx(100)
    assert table.values[1] < 50
    assert table.intervals[0] == pytest.approx(0)
    assert 2 < table.intervals[1] < 20
    assert table.counts == shows.sum(axis=0)[:2].tolist()


def test_of_many_classes_the_best_and_the_worst_are_listed(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    predictions = make_said(101)
    table = class_table(predictions, None)
    whole = np.array(
        [
            100
            * float(
                (predictions.probabilities_NKC.argmax(axis=2) == predictions.labels.values)[
                    predictions.labels.values == c
                ].mean()
            )
            for c in range(101)
        ]
    )
    half = LISTED_CLASSES // 2
    assert table.values[:half] == pytest.approx(np.sort(whole)[::-1][:half])
    assert table.values[-half:] == pytest.approx(np.sort(whole)[:half][::-1])
    draw_class_scores([predictions], None, tmp_path)
    assert f"best and worst {half} of 101" in drawn["class_scores"].axes[0].get_title()


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    rng = np.random.default_rng(1)
    truth, named = rng.integers(4, size=(2, 60, 1))
    predictions = [said(truth, named, HOSTILE, level) for level in ("space", "time", "clip")]
    draw_confused_classes(predictions, tmp_path)
    draw_class_scores(predictions, None, tmp_path)
    for fig in drawn.values():
        assert texts_overlap(fig) == []


def test_of_what_was_said_that_of_the_choosing_evaluation_on_own_labels_is_drawn() -> None:
    one, two = make_said(3), make_said(3, seed=1)
    assert own_predictions([("probe", one), ("knn", two)], "knn", {"clip": "kind"}) == [two]
    assert own_predictions([("probe", one), ("knn", two)], None, {"clip": "kind"}) == [one]
    assert own_predictions([("probe", one)], "knn", {"clip": "other"}) == [one]
    assert own_predictions([], "knn", {}) == []
