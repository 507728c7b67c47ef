"""Accuracies by level and label set, for every protocol that takes features and labels; chance and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data_utils.catalog.annotations.classes import UNKNOWN
from protocols.encoded_split import EncodedSplit
from protocols.knn import KNNSettings, knn_scores
from protocols.linear_probe import LinearProbeSettings, probe_scores
from protocols.metrics import chance, confidence_interval
from protocols.protocol import Score
from tests.protocols.clouds import SPACE, clusters, encoded, label_set, rng, values


def both(bank: EncodedSplit, queries: EncodedSplit) -> tuple[list[Score], list[Score]]:
    """kNN and linear probe."""
    knn = knn_scores(bank, queries, SPACE, KNNSettings(k=5, temperature=0.07))
    return knn, probe_scores(bank, queries, SPACE, LinearProbeSettings())


def test_scores_of_several_parts_are_the_mean_of_each_part() -> None:
    known, asked = rng().integers(4, size=(80, 2)), rng(1).integers(4, size=(40, 2))
    bank = encoded(clusters(known, noise=0.3), label_set(known))
    wrong = np.stack([asked[:, 0], (asked[:, 1] + 1) % 4], axis=1)  # the second part shows another class
    queries = encoded(clusters(wrong, noise=0.3, seed=5), label_set(asked))
    for scores in both(bank, queries):
        assert values(scores) == {"space": {"motion": 50.0}}
    queries = encoded(clusters(asked, noise=0.3, seed=5), label_set(asked))
    assert values(both(bank, queries)[0]) == {"space": {"motion": 100.0}}


def test_videos_without_a_label_are_not_scored() -> None:
    known, asked = rng().integers(4, size=(80, 1)), rng(1).integers(4, size=(40, 1))
    bank, queries = clusters(known, noise=0.3), clusters(asked, noise=0.3, seed=5)
    unknown_bank, unknown_queries = np.arange(80) % 3 == 0, np.arange(40) % 2 == 0
    bank[unknown_bank] = bank[~unknown_bank][0] + 100  # would spoil the centre and the neighbours
    split = encoded(bank, label_set(np.where(unknown_bank[:, None], UNKNOWN, known)))
    asking = encoded(queries, label_set(np.where(unknown_queries[:, None], UNKNOWN, asked)))
    for scores in both(split, asking):
        assert values(scores) == {"space": {"motion": 100.0}}
        assert [score.interval for score in scores if score.primary] == [confidence_interval(100.0, 20)]
    assert chance(label_set([[0], [UNKNOWN], [0], [1], [UNKNOWN], [2]])) == 50.0
    nobody = encoded(queries, label_set(np.full((40, 1), UNKNOWN)))
    assert both(split, nobody) == ([], [])


def test_chance_is_the_share_of_the_commonest_class_of_each_part() -> None:
    assert chance(label_set([[0], [2], [2], [1]])) == 50.0
    assert chance(label_set([[0, 1], [0, 2], [0, 3], [1, 0]])) == pytest.approx((75 + 25) / 2)


@pytest.mark.parametrize(("right", "samples"), [(0, 10), (3, 10), (360, 720), (719, 720), (40, 480)])
def test_the_interval_is_wilsons(right: int, samples: int) -> None:
    low, high = stats.binomtest(right, samples).proportion_ci(0.95, method="wilson")
    half = confidence_interval(100 * right / samples, samples)
    assert half == pytest.approx(100 * (high - low) / 2, rel=1e-4)


def test_nothing_is_known_of_no_samples() -> None:
    assert confidence_interval(0.0, 0) == 100.0
