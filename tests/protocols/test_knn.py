from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from protocols.encoded_split import FloatArray, IntArray
from protocols.knn import KNNSettings, knn_predict, knn_settings
from tests.protocols.clouds import clusters, rng


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


def test_knn_equals_scikit_learn() -> None:
    labels = rng().integers(4, size=200)
    bank, queries = clusters(labels, noise=4), clusters(rng(1).integers(4, size=100), noise=4, seed=5)
    centre = bank.mean(axis=0)
    other = KNeighborsClassifier(9, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    other.fit(bank - centre, labels)
    agree = knn_predict(bank, labels, queries, 9, 0.07) == other.predict(queries - centre)
    assert agree.mean() >= 0.99


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
