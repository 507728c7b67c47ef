"""Numbers that follow from what a classifier says, against scikit-learn and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from data_utils.catalog.annotations.classes import UNKNOWN
from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.metrics import (
    average_precisions,
    bootstrap_interval,
    calibration_error,
    confidence_interval,
    confusion,
    mean_class_accuracy,
    mean_interval,
)
from protocols.predictions import MultiPredictions, Predictions, ViewPredictions, class_scores, multi_scores
from tests.protocols.clouds import label_set, rng


def probabilities(shape: tuple[int, ...], seed: int = 0) -> Any:
    logits = rng(seed).normal(size=shape)
    return (np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)).astype(np.float32)


def by_metric(predictions: Predictions, groups: Any = None) -> dict[str, float]:
    return {score.metric: score.value for score in class_scores(predictions, groups)}


def test_class_scores_are_scikit_learns() -> None:
    truth, said = rng(1).integers(8, size=60), probabilities((60, 1, 8))
    scores = by_metric(Predictions("clip", label_set(truth[:, None], classes=8), np.arange(60), said))
    assert list(scores) == ["top1", "top5", "mean_class", "ece"]
    assert scores["top1"] == pytest.approx(100 * (said[:, 0].argmax(1) == truth).mean())
    assert scores["top5"] == pytest.approx(100 * top_k_accuracy_score(truth, said[:, 0], k=5))
    assert scores["mean_class"] == pytest.approx(100 * balanced_accuracy_score(truth, said[:, 0].argmax(1)))
    named = said[:, 0].argmax(1)
    np.testing.assert_array_equal(confusion(named, truth, 8), confusion_matrix(truth, named, labels=range(8)))


def test_parts_are_scored_one_by_one_and_videos_without_a_label_are_not() -> None:
    truth, said = rng(2).integers(4, size=(30, 2)), probabilities((30, 2, 4))
    truth[::3] = UNKNOWN
    known = truth[:, 0] != UNKNOWN
    scores = by_metric(Predictions("time", label_set(truth), np.arange(30), said))
    right = said.argmax(2)[known] == truth[known]
    assert scores["top1"] == pytest.approx(100 * right.mean())
    assert scores["mean_class"] == pytest.approx(
        100 * np.mean([balanced_accuracy_score(truth[known, k], said[known, k].argmax(1)) for k in range(2)])
    )
    assert "top5" not in scores  # of four classes
    assert class_scores(Predictions("time", label_set(np.full((30, 2), UNKNOWN)), np.arange(30), said)) == []


def test_views_are_averaged_and_scored_alone() -> None:
    truth = np.array([[0], [1]])
    views = ViewPredictions(
        np.array([[[0.6, 0.4, 0, 0]], [[0.1, 0.9, 0, 0]], [[0.3, 0.7, 0, 0]]], np.float32),
        np.array([0, 0, 1]),
        np.ones((3, 1), np.bool_),
    )
    said = views.of_videos(2)
    np.testing.assert_allclose(said[:, 0, :2], [[0.35, 0.65], [0.3, 0.7]], rtol=1e-6)
    scores = by_metric(Predictions("clip", label_set(truth), np.arange(2), said, views))
    assert (scores["top1"], scores["acc_mv"]) == (50.0, 50.0)
    assert scores["acc"] == pytest.approx(100 * 2 / 3)  # the first view of the first video was right


def test_views_say_nothing_of_parts_that_they_do_not_show() -> None:
    shown = np.array([[True, False], [False, True]])
    views = ViewPredictions(np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], np.float32), np.array([0, 0]), shown)
    np.testing.assert_array_equal(views.of_videos(2), [[[1, 0], [1, 0]], [[0, 0], [0, 0]]])


def test_calibration_error_is_the_gap_of_each_bin() -> None:
    said = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.55, 0.45]], np.float32)
    assert calibration_error(said, np.array([0, 0, 0, 1])) == pytest.approx((2 * 0.05 + 2 * 0.05) / 4, abs=1e-6)
    assert calibration_error(np.array([[1.0, 0.0]], np.float32), np.array([0])) == 0
    assert mean_class_accuracy(np.array([True, True, False]), np.array([0, 0, 3])) == 0.5


# ---------------------------------------------------------------------------------------------------- intervals


def test_videos_of_one_group_count_as_less_than_strangers() -> None:
    right = np.repeat([1.0, 0.0, 1.0, 1.0], 50)  # whole groups are right or wrong
    groups = np.repeat(["a", "b", "c", "d"], 50).astype(object)
    alone = mean_interval(right)
    assert alone == confidence_interval(75.0, 200)
    assert mean_interval(right, groups) > 3 * alone
    assert mean_interval(right, np.arange(200).astype(object)) == alone
    assert mean_interval(right, np.full(200, "a", object)) == alone  # one group says nothing of others
    mixed = rng(3).permutation(right)  # groups that do not matter
    many = np.repeat(np.arange(50), 4).astype(object)
    assert 100 * bootstrap_interval(mixed, many) == pytest.approx(alone, rel=0.3)
    alike = np.tile([1.0, 0.0], 100)  # four groups that agree
    assert mean_interval(alike, groups) == mean_interval(alike)
    assert bootstrap_interval(right, groups) == bootstrap_interval(right, groups)


# ------------------------------------------------------------------------------------------------ several classes


def test_average_precision_is_scikit_learns_with_ties_and_weights() -> None:
    shows, scores = rng(4).random((80, 5)) < 0.3, rng(5).integers(6, size=(80, 5)).astype(np.float32)
    shows[:, 3] = False
    found = average_precisions(scores, shows)[0]
    assert np.isnan(found[3])
    for number in (0, 1, 2, 4):
        assert found[number] == pytest.approx(average_precision_score(shows[:, number], scores[:, number]))
    weights = rng(6).integers(3, size=(2, 80)).astype(float)
    weighted = average_precisions(scores, shows, weights)
    for sample in range(2):
        expected = average_precision_score(shows[:, 0], scores[:, 0], sample_weight=weights[sample])
        assert weighted[sample, 0] == pytest.approx(expected)


def test_classes_without_positives_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    shows = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]], np.bool_)
    labels = MultiLabelSet("doing", ["cook", "swim", "talk"], shows, np.array([True, True, True, False]))
    scores = np.array([[0.9, 0.1, 0.8], [0.1, 0.1, 0.7], [0.8, 0.1, 0.1], [1.0, 1.0, 1.0]], np.float32)
    caplog.set_level("INFO")
    (score,) = multi_scores(MultiPredictions("clip", labels, np.arange(4), scores))
    assert (score.metric, score.value, score.labels) == ("mAP", 100.0, "doing")
    assert score.chance == pytest.approx(100 * 2 / 3)
    assert "mAP of 'doing' leaves out what no video shows: swim" in caplog.messages
    nothing = MultiLabelSet("doing", ["cook"], np.zeros((4, 1), np.bool_), np.ones(4, np.bool_))
    assert multi_scores(MultiPredictions("clip", nothing, np.arange(4), scores[:, :1])) == []


def test_the_interval_of_mean_average_precision_shrinks_with_videos() -> None:
    def interval(videos: int) -> float:
        shows = rng(7).random((videos, 4)) < 0.4
        scores = (shows + rng(8).normal(size=shows.shape)).astype(np.float32)
        labels = MultiLabelSet("doing", list("abcd"), shows, np.ones(videos, np.bool_))
        (score,) = multi_scores(MultiPredictions("clip", labels, np.arange(videos), scores))
        assert score.interval is not None
        return score.interval

    assert 0 < interval(800) < interval(50) / 2


def test_the_mean_of_logits_is_a_softmax_of_the_mean_over_views() -> None:
    """Two windows of three crops each, as in VideoMAE's and OmniMAE's test."""
    generator = np.random.default_rng(0)
    logits_VKC = generator.normal(0, 3, (12, 1, 5))
    exponents_VKC = np.exp(logits_VKC)
    probabilities_VKC = (exponents_VKC / exponents_VKC.sum(axis=2, keepdims=True)).astype(np.float32)
    views = ViewPredictions(probabilities_VKC, np.repeat([0, 1], 6), np.ones((12, 1), np.bool_))
    mean_NKC = logits_VKC.reshape(2, 6, 1, 5).mean(axis=1)
    expected_NKC = np.exp(mean_NKC) / np.exp(mean_NKC).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(views.of_videos(2, logits=True), expected_NKC, rtol=1e-4)
    assert not np.allclose(views.of_videos(2), expected_NKC, rtol=1e-2)
    unseen = ViewPredictions(probabilities_VKC, np.repeat([0, 1], 6), np.arange(12)[:, None] < 6)
    assert not unseen.of_videos(2, logits=True)[1].any()
