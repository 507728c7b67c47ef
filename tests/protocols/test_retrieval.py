"""R@n: whether one of the n nearest training videos is of the class."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from protocols.encoded_split import EncodedSplit
from protocols.metrics import confidence_interval
from protocols.retrieval import RetrievalSettings, chance_among, retrieval_scores
from tests.protocols.clouds import SPACE, clusters, label_set, rng


def split(features: object, labels: object) -> EncodedSplit:
    vectors = np.asarray(features, np.float32)
    return EncodedSplit.of_videos({vectors.shape[1]: {"space": vectors}}, {"motion": label_set(labels)})


def test_a_video_counts_where_one_of_the_nearest_is_of_its_class() -> None:
    # On a circle: the neighbours of the only query are the bank's videos in their order.
    angles = np.array([1.0, 2.0, 3.0, 170.0, 181.0, 182.0, 183.0, 350.0]) * np.pi / 180
    bank = split(np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None], [[1], [1], [2], [3], [1], [1], [1], [3]])
    query = split([[[1.0, 0.0]]], [[2]])
    scores = retrieval_scores(bank, query, SPACE, [2, 1, 3, 50])
    assert {score.metric: score.value for score in scores} == {"R@2": 0.0, "R@1": 0.0, "R@3": 100.0, "R@50": 100.0}
    assert [score.primary for score in scores] == [True, False, False, False]
    assert scores[3].chance == 100.0  # all that there are
    assert all(score.interval == confidence_interval(score.value, 1) for score in scores)


def test_parts_are_the_mean_and_unlabelled_videos_do_not_count() -> None:
    known, asked = rng().integers(4, size=(80, 2)), rng(1).integers(4, size=(40, 2))
    wrong = np.stack([asked[:, 0], (asked[:, 1] + 1) % 4], axis=1)  # the second part shows another class
    asked[::4] = -1
    bank = split(clusters(known, noise=0.1), known)
    (score,) = retrieval_scores(bank, split(clusters(wrong, noise=0.1, seed=5), asked), SPACE, [1])
    assert (score.level, score.labels, score.value) == ("space", "motion", 50.0)
    assert score.interval == confidence_interval(50.0, 30)


@pytest.mark.parametrize("rank", [1, 3, 10, 99])
def test_chance_is_what_random_neighbours_reach(rank: int) -> None:
    known, truth = rng().integers(5, size=(12, 1)) ** 2 // 5, np.array([[0], [1], [3], [3], [4]])
    drawn = [rng(seed).permutation(known[:, 0])[:rank] for seed in range(4000)]
    simulated = 100 * np.mean([[value in answers for value in truth[:, 0]] for answers in drawn])
    assert chance_among(known, truth, rank) == pytest.approx(simulated, abs=1.5)


def test_ranks_are_different_numbers() -> None:
    for wrong in ([1, 5, 1], [], 0, [0], 1.5, True, [True], "1"):
        with pytest.raises(ValidationError, match="expected a whole number, at least 1, or a list of different ones"):
            RetrievalSettings.model_validate({"ranks": wrong})
    assert RetrievalSettings(ranks=3).ranks == 3
