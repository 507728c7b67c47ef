"""protocols/finetuning/few_shot.py: as many videos of each class as asked for, the same ones for a seed."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols.finetuning.few_shot import few_of_each, tell_too_few

CLASSES = 4


def one_class_each(videos: int = 80) -> NDArray[np.bool_]:
    shows = np.zeros((videos, CLASSES), np.bool_)
    shows[np.arange(videos), np.random.default_rng(0).integers(CLASSES, size=videos)] = True
    return shows


def test_every_class_has_exactly_as_many() -> None:
    shows = one_class_each()
    assert shows[few_of_each(shows, 5, seed=1)].sum(axis=0).tolist() == [5] * CLASSES


def test_the_draw_is_a_function_of_the_seed() -> None:
    shows = one_class_each()
    first = few_of_each(shows, 5, seed=1)
    assert (few_of_each(shows, 5, seed=1) == first).all()
    assert (few_of_each(shows, 5, seed=2) != first).any()


def test_fewer_are_among_more() -> None:
    shows = one_class_each()
    assert few_of_each(shows, 9, seed=1)[few_of_each(shows, 4, seed=1)].all()


def test_a_class_with_fewer_gives_all_of_them() -> None:
    shows = one_class_each(12)
    shows[:, 2] = False
    shows[0] = [False, False, True, False]
    shows = shows[shows.any(axis=1)]
    assert few_of_each(shows, 3, seed=0)[0]
    assert shows[few_of_each(shows, 100, seed=0)].sum() == len(shows)


def test_videos_of_several_classes_count_for_each() -> None:
    rng = np.random.default_rng(0)
    shows = rng.random((200, CLASSES)) < 0.3
    taken = few_of_each(shows, 6, seed=3)
    assert (shows[taken].sum(axis=0) >= 6).all()
    assert 6 <= taken.sum() < 6 * (CLASSES + 1)
    assert 0 < (~shows[taken].any(axis=1)).sum() <= 6  # of videos that show none, as many


def test_classes_with_fewer_are_named(caplog: pytest.LogCaptureFixture) -> None:
    shows = np.array([[True, False], [True, False], [False, True]])
    with caplog.at_level(logging.WARNING):
        tell_too_few(shows, ["left", "right"], 2, "fine-tuning")
        assert caplog.messages == ["fine-tuning: few_shot=2, but there are fewer of right (1)"]
        caplog.clear()
        tell_too_few(shows, ["left", "right"], 1, "fine-tuning")
    assert caplog.messages == []
