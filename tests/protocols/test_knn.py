from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.encoded_split import EncodedSplit, FloatArray, IntArray
from protocols.knn import KNNSettings, knn_predict, knn_scores, knn_settings
from tests.protocols.clouds import SPACE, clusters, encoded, label_set, rng


def naive_knn(
    bank: FloatArray, labels: IntArray, queries: FloatArray, k: int, temperature: float
) -> tuple[IntArray, list[float]]:
    """The votes by a loop in float64, and how much ahead of the second class the first one is."""
    centre = bank.mean(axis=0, dtype=np.float64)
    predicted, margins = [], []
    for query in queries.astype(np.float64) - centre:
        cosines = []
        for known in bank.astype(np.float64) - centre:
            cosines.append(known @ query / np.linalg.norm(known) / np.linalg.norm(query))
        votes = np.zeros(labels.max() + 1)
        for neighbour in np.argsort(cosines)[::-1][:k]:
            votes[labels[neighbour]] += math.exp(cosines[neighbour] / temperature)
        predicted.append(int(votes.argmax()))
        first, second = np.sort(votes)[::-1][:2]
        margins.append((first - second) / first)
    return np.array(predicted), margins


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("k", [1, 7, 500])
def test_knn_equals_a_loop(k: int, temperature: float) -> None:
    labels = rng().integers(4, size=60)
    bank, queries = clusters(labels, noise=4), clusters(rng(1).integers(4, size=50), noise=4, seed=5)
    expected, margins = naive_knn(bank, labels, queries, k, temperature)
    clear = np.array(margins) > 1e-4  # elsewhere float32 may see a tie the other way round
    assert clear.mean() > 0.9
    found = knn_predict(bank, labels, queries, k, temperature)
    assert found.shape == (50,)
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert len(set(expected.tolist())) > 1


@pytest.mark.parametrize("k", [1, 9, 200])
def test_votes_equal_those_of_scikit_learn(k: int) -> None:
    labels, asked = rng().integers(7, size=(200, 1)), rng(1).integers(7, size=(100, 1))
    bank, queries = clusters(labels, noise=4), clusters(asked, noise=4, seed=5)
    centre = bank[:, 0].mean(axis=0, dtype=np.float64)
    other = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    other.fit(bank[:, 0] - centre, labels[:, 0])
    kept: list[Any] = []
    splits = (encoded(bank, label_set(labels, 7)), encoded(queries, label_set(asked, 7)))
    scores = knn_scores(*splits, SPACE, KNNSettings(k=k), keep=kept.append)
    expected = other.predict_proba(queries[:, 0] - centre)
    np.testing.assert_allclose(kept[0].probabilities_NKC[:, 0], expected, atol=1e-4)
    top1, top5 = (next(score.value for score in scores if score.metric == metric) for metric in ("top1", "top5"))
    assert top1 == 100 * (expected.argmax(axis=1) == asked[:, 0]).mean()
    if k == 200:  # else there are classes without votes, which scikit-learn puts in another order
        assert top5 == pytest.approx(100 * top_k_accuracy_score(asked[:, 0], expected, k=5))
    assert 20 < top1 < top5 <= 100


def test_of_several_numbers_of_neighbours_the_first_counts_and_all_are_told() -> None:
    labels, asked = rng().integers(7, size=(60, 1)), rng(1).integers(7, size=(40, 1))
    bank = encoded(clusters(labels, noise=4), label_set(labels, 7))
    queries = encoded(clusters(asked, noise=4, seed=5), label_set(asked, 7))
    kept: list[Any] = []
    found = knn_scores(bank, queries, SPACE, KNNSettings(k=[9, 1, 100]), keep=kept.append)
    assert len(kept) == 1
    told = {score.metric: score.value for score in found}
    assert list(told) == ["top1", "top5", "mean_class", "ece", "top1@1", "top5@1", "top1@100", "top5@100"]
    assert [score.metric for score in found if score.primary] == ["top1"]
    for k, suffix in ((9, ""), (1, "@1"), (100, "@100")):
        alone = knn_scores(bank, queries, SPACE, KNNSettings(k=k))
        assert [score.value for score in alone[:2]] == [told[f"top1{suffix}"], told[f"top5{suffix}"]]


def test_one_class_is_always_right_and_fewer_than_six_have_no_top5() -> None:
    one = encoded(clusters(np.zeros((9, 1), np.int64)), label_set([[0]] * 9, 1))
    found = knn_scores(one, one, SPACE, KNNSettings())
    assert [score.metric for score in found] == ["top1", "mean_class", "ece"]
    assert [score.value for score in found] == pytest.approx([100, 100, 0], abs=1e-4)


def test_as_many_votes_for_two_classes_are_for_the_first() -> None:
    bank = np.array([[0, 1], [0, 1], [0, -1], [0, -1]], np.float32)  # each query is as near to all of them
    labels = np.array([3, 1, 2, 1])
    query = np.array([[1, 0]], np.float32)
    assert knn_predict(bank, labels, query, 4, 0.07).tolist() == [1]  # two votes
    assert knn_predict(bank, np.array([3, 2, 1, 0]), query, 4, 0.07).tolist() == [0]
    assert knn_predict(bank, labels, query, 1, 0.07).tolist() == [3]  # the earliest of the nearest ones


def test_several_classes_at_once_are_ranked_by_the_votes_of_videos_that_show_them() -> None:
    hidden, asked = rng().integers(3, size=120), rng(1).integers(3, size=60)
    shows = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], np.bool_)
    classes = ["a", "b", "c", "never"]
    known = np.arange(120) % 5 > 0
    splits = []
    for values, is_known, seed in ((hidden, known, 0), (asked, np.ones(60, np.bool_), 5)):
        multi = {"acts": MultiLabelSet("acts", classes, shows[values], is_known)}
        features = clusters(values[:, None], noise=0.1, seed=seed)
        splits.append(EncodedSplit.of_videos({1: {"space": features}}, {}, multi))
    bank, queries = splits
    bank.features[1]["space"][~known] = 100.0  # would spoil the centre
    kept: list[Any] = []
    (score, other) = knn_scores(bank, queries, {"space": ["acts"]}, KNNSettings(k=[5, 3]), keep=kept.append)
    assert [(each.metric, each.value, each.primary) for each in (score, other)] == [
        ("mAP", 100.0, True),
        ("mAP@3", 100.0, False),
    ]
    np.testing.assert_allclose(kept[0].scores_NC, shows[asked], atol=1e-6)


def test_more_neighbours_than_videos_are_all_videos() -> None:
    labels = np.array([0, 0, 1])
    bank, queries = clusters(labels), clusters(np.array([0, 1, 1, 0]), seed=3)
    np.testing.assert_array_equal(
        knn_predict(bank, labels, queries, 20, 0.07), knn_predict(bank, labels, queries, 3, 0.07)
    )


def test_many_queries_are_answered_like_few() -> None:
    labels = rng().integers(4, size=40)
    bank, queries = clusters(labels, noise=4), clusters(rng(1).integers(4, size=2100), noise=4, seed=5)
    together = knn_predict(bank, labels, queries, 5, 0.07)
    alone = np.concatenate([knn_predict(bank, labels, part, 5, 0.07) for part in np.array_split(queries, 7)])
    np.testing.assert_array_equal(together, alone)


def test_what_all_vectors_share_changes_nothing() -> None:
    labels = rng().integers(4, size=60)
    bank, queries = (np.round(clusters(labels, noise=4, seed=seed), 0) for seed in (0, 5))
    offset = 256 * rng(9).integers(1, 4, size=8).astype(np.float32)  # exact in float32
    shifted = knn_predict(bank + offset, labels, queries + offset, 5, 0.07)
    np.testing.assert_array_equal(shifted, knn_predict(bank, labels, queries, 5, 0.07))
    # Without centring all cosines would be nearly 1.
    assert (shifted == labels).mean() > 0.5


def test_scale_changes_nothing_and_a_tiny_temperature_is_no_overflow() -> None:
    labels = rng().integers(4, size=60)
    bank, queries = clusters(labels, noise=4), clusters(labels, noise=4, seed=5)
    expected = knn_predict(bank, labels, queries, 5, 0.07)
    np.testing.assert_array_equal(knn_predict(8 * bank, labels, 8 * queries, 5, 0.07), expected)
    nearest = knn_predict(bank, labels, queries, 1, 1.0)
    np.testing.assert_array_equal(knn_predict(bank, labels, queries, 5, 1e-6), nearest)


def test_a_bank_of_equal_vectors_gives_an_answer() -> None:
    bank = np.ones((6, 3), np.float32)
    found = knn_predict(bank, np.array([2, 2, 2, 2, 1, 0]), rng().normal(size=(4, 3)).astype(np.float32), 6, 0.07)
    np.testing.assert_array_equal(found, [2, 2, 2, 2])


def test_settings_are_those_of_the_evaluation_or_the_defaults() -> None:
    assert knn_settings({}) == knn_settings({"knn": None}) == KNNSettings(k=20, bank=1200, temperature=0.07)
