"""Which videos choose: validation videos where they can, else whole groups of training videos that are held out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from data_utils.catalog.annotations.classes import UNKNOWN
from protocols.probes.choosing import find_chooser, held_out, quality
from tests.protocols.clouds import label_set, rng
from tests.protocols.probes.samples import multi_set

EVERY = np.ones(40, np.bool_)


def test_validation_videos_choose_where_they_can() -> None:
    values = rng().integers(4, size=(15, 1))
    values[:4] = UNKNOWN
    chooser = find_chooser(EVERY, None, label_set(values), seed=0)
    assert chooser is not None
    assert (chooser.split, chooser.words) == ("val", "11 validation videos")
    assert chooser.chooses_N.tolist() == [False] * 4 + [True] * 11
    assert chooser.trains_N.all()


@pytest.mark.parametrize(
    ("val", "said"),
    [
        (label_set(rng().integers(4, size=(9, 1))), "9 validation videos have labels"),
        (label_set(np.array([[1]] + [[UNKNOWN]] * 20)), "only 1 validation video has a label"),
        (label_set(np.full((20, 1), UNKNOWN)), "no validation videos have labels"),
        (label_set(np.full((20, 2), 3)), "all validation videos have the same label"),
        (multi_set(np.zeros((20, 3))), "all validation videos have the same label"),
        ("they are scored themselves", "they are scored themselves"),
    ],
)
def test_where_they_cannot_some_training_videos_do(val: object, said: str) -> None:
    known_N = EVERY.copy()
    known_N[::4] = False
    chooser = find_chooser(known_N, None, val, seed=0)  # type: ignore[arg-type]
    assert chooser is not None
    assert (chooser.split, int(chooser.chooses_N.sum())) == ("train", 6)  # a fifth of 30
    assert chooser.words == f"6 training videos, held out, since {said}"
    np.testing.assert_array_equal(chooser.chooses_N ^ chooser.trains_N, known_N)
    assert find_chooser(np.arange(40) < 9, None, val, seed=0) is None  # type: ignore[arg-type]


def test_groups_are_held_out_whole() -> None:
    groups_N = np.array([f"person {number % 5}" for number in range(40)], object)
    for seed in range(4):
        held_N = held_out(EVERY, groups_N, seed)
        assert len(set(groups_N[held_N])) == 1
        assert not set(groups_N[held_N]) & set(groups_N[~held_N])
    assert len({held_out(EVERY, groups_N, seed).tobytes() for seed in range(8)}) > 1
    np.testing.assert_array_equal(held_out(EVERY, groups_N, 3), held_out(EVERY, groups_N, 3))
    chooser = find_chooser(EVERY, groups_N, "no", seed=0)
    assert chooser is not None
    assert chooser.words == "8 training videos, held out in whole groups, since no"


def test_something_is_always_left_to_learn_from() -> None:
    one = np.array(["one"] * 40, object)
    assert int(held_out(EVERY, one, 0).sum()) == 8  # a single group is taken apart
    unequal = np.array(["large"] * 39 + ["small"], object)
    for seed in range(4):
        held_N = held_out(EVERY, unequal, seed)
        assert 0 < int(held_N.sum()) < 40


def test_likelihood_decides_between_equal_scores() -> None:
    labels, chooses_N = label_set([[0], [1], [3], [2]]), np.array([True, True, False, True])
    certain = np.array([[[0.9, 0.1, 0, 0]], [[0.1, 0.9, 0, 0]], [[1.0, 0, 0, 0]]], np.float32)
    doubting = np.array([[[0.6, 0.4, 0, 0]], [[0.4, 0.6, 0, 0]], [[1.0, 0, 0, 0]]], np.float32)
    better, worse = quality(certain, labels, chooses_N), quality(doubting, labels, chooses_N)
    assert better.score == worse.score == pytest.approx(200 / 3)
    assert better > worse
    assert quality(np.full_like(certain, np.nan), labels, chooses_N) < quality(certain[::-1], labels, chooses_N)


def test_several_classes_are_judged_by_average_precision() -> None:
    shows_NC, scores_NC = rng().random((20, 3)) < 0.3, rng(1).random((20, 3)).astype(np.float32)
    shows_NC[:, 2] = False  # a class that no video shows
    chooses_N = np.arange(20) % 3 > 0
    found = quality(scores_NC[chooses_N][:, None], multi_set(shows_NC), chooses_N)
    each = [average_precision_score(shows_NC[chooses_N, c], scores_NC[chooses_N, c]) for c in range(2)]
    assert found.score == pytest.approx(100 * np.mean(each))
