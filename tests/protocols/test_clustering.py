"""Clusters are compared with classes, and with what random clusters would reach."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from protocols.clustering import ClusteringSettings, clustering_scores, expected_nmi
from protocols.encoded_split import EncodedSplit
from protocols.protocol import Score
from tests.protocols.clouds import SPACE, clusters, label_set, rng

FEW = ClusteringSettings(starts=2)


def scores(labels: object, features: object, groups: object = None, settings: ClusteringSettings = FEW) -> list[Score]:
    vectors = np.asarray(features, np.float32)
    known = {"motion": label_set(labels)}
    split = EncodedSplit.of_videos(
        {vectors.shape[1]: {"space": vectors}}, known, groups=None if groups is None else np.asarray(groups, object)
    )
    return clustering_scores(split, SPACE, settings, 0)


def test_clouds_are_found_and_noise_is_not() -> None:
    labels = rng().integers(4, size=(120, 2))
    nmi, ari = scores(labels, clusters(labels, noise=0.1))
    assert [(score.metric, score.primary) for score in (nmi, ari)] == [("NMI", True), ("ARI", False)]
    assert [nmi.value, ari.value, ari.chance] == pytest.approx([100, 100, 0])
    nmi, ari = scores(labels, rng(3).normal(size=(120, 2, 8)))
    assert nmi.chance is not None
    assert nmi.interval is not None
    assert nmi.value == pytest.approx(nmi.chance, abs=4)
    assert ari.value == pytest.approx(0, abs=5)
    assert 0.5 < nmi.interval < 10


def test_chance_is_what_random_clusters_of_the_same_sizes_reach() -> None:
    truth, cluster = rng().integers(12, size=150), rng(1).integers(9, size=150)
    shuffled = [normalized_mutual_info_score(truth, rng(seed).permutation(cluster)) for seed in range(300)]
    assert expected_nmi(truth, cluster) == pytest.approx(np.mean(shuffled), abs=0.005)
    assert expected_nmi(truth, cluster) > 0.1  # far above 0
    assert adjusted_rand_score(truth, cluster) == pytest.approx(0, abs=0.02)


def test_videos_without_a_label_are_left_out_and_some_are_drawn_of_many(caplog: pytest.LogCaptureFixture) -> None:
    labels = rng().integers(3, size=(90, 1))
    features = clusters(labels, noise=0.1)
    features[::3] = rng(5).normal(size=features[::3].shape)  # would be clusters of their own
    labels[::3] = -1
    assert scores(labels, features)[0].value == pytest.approx(100)
    with caplog.at_level(logging.INFO):
        drawn = scores(labels, features, settings=ClusteringSettings(starts=2, videos=20))
    assert "clustering of 'motion' takes 20 of 60 videos, drawn at random" in caplog.text
    assert drawn == scores(labels, features, settings=ClusteringSettings(starts=2, videos=20))
    assert not scores(np.full((90, 1), -1), features)


def test_one_class_is_nothing_to_find(caplog: pytest.LogCaptureFixture) -> None:
    assert not scores([[2]] * 10, rng().normal(size=(10, 1, 4)))
    assert "clustering does not score 'motion': the videos show one class alone" in caplog.text


def test_groups_that_stand_together_make_the_interval_wider() -> None:
    labels = np.repeat(rng().integers(4, size=(12, 1)), 10, axis=0)
    right = np.repeat(np.arange(12) % 2 == 0, 10)[:, None]
    features = clusters(np.where(right, labels, rng(2).integers(4, size=(120, 1))), noise=0.1)
    alone, together = (scores(labels, features, groups)[0] for groups in (None, np.repeat(np.arange(12), 10)))
    assert alone.value == together.value
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval > 1.5 * alone.interval
