from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest

from config.schema import WindowConfig
from data_utils.windows import (
    epoch_order,
    evaluation_starts,
    frame_indices,
    num_training_windows,
    num_windows,
    second_start,
    span,
    training_starts,
    window_starts,
)


def window(
    length: int, frequency: int = 1, step: int | None = None, drawn: int = 1, evaluated: int = 1
) -> WindowConfig:
    return WindowConfig(length=length, frequency=frequency, step=step, max_seq_per_video=drawn, eval_windows=evaluated)


def naive_starts(num_frames: int, length: int, frequency: int, step: int | None) -> list[int]:
    """Tries every start and keeps those on the grid whose every frame exists."""
    reach = [frequency * i for i in range(length)]
    grid = step or reach[-1] + 1
    return [s for s in range(num_frames) if s % grid == 0 and all(s + r < num_frames for r in reach)]


@pytest.mark.parametrize(("length", "frequency", "step"), list(product([1, 2, 5], [1, 3], [None, 1, 4])))
def test_starts_are_those_of_a_naive_enumeration(length: int, frequency: int, step: int | None) -> None:
    config = window(length, frequency, step)
    for num_frames in range(1, 40):
        expected = naive_starts(num_frames, length, frequency, step)
        assert list(window_starts(num_frames, config, "skip")) == expected
        assert list(window_starts(num_frames, config, "loop")) == (expected or [0])
        assert list(window_starts(num_frames, config, "pad")) == (expected or [0])
        assert num_windows(num_frames, config, "skip") == len(expected)


def test_counts_are_vectorised() -> None:
    config = window(4, 2, step=3, drawn=3)
    frames = np.arange(1, 30)
    assert num_windows(frames, config, "skip").tolist() == [int(num_windows(int(n), config, "skip")) for n in frames]
    drawn = num_training_windows(frames, config, "pad")
    assert drawn.tolist() == [len(training_starts(int(n), config, "pad", 0, 0, 0)) for n in frames]
    assert drawn.max() == 3
    assert drawn.min() == 1


def test_training_draws_every_allowed_set_of_starts_and_no_other() -> None:
    config = window(3, 2, step=4, drawn=2)  # span 5; 13 frames: starts 0 to 8
    allowed = {pair for pair in combinations(range(9), 2) if pair[1] - pair[0] >= 4}
    draws = [tuple(training_starts(13, config, "skip", 0, epoch, 7)) for epoch in range(1500)]
    counts = {pair: draws.count(pair) for pair in set(draws)}
    assert set(counts) == allowed
    expected = 1500 / len(allowed)
    assert all(0.6 * expected < count < 1.5 * expected for count in counts.values())


def test_training_draws_single_frames_off_the_grid() -> None:
    starts = {training_starts(20, window(8, 2), "skip", 3, epoch, 0)[0] for epoch in range(200)}
    assert starts == set(range(20 - 15 + 1))


@pytest.mark.parametrize("frames", [5, 6, 20, 100])
def test_training_starts_fit_and_keep_their_distance(frames: int) -> None:
    config = window(5, 1, step=3, drawn=4)
    for epoch in range(50):
        starts = training_starts(frames, config, "skip", 1, epoch, 2)
        assert len(starts) == min(4, (frames - 5) // 3 + 1)
        assert min(starts) >= 0
        assert max(starts) <= frames - 5
        assert all(later - earlier >= 3 for earlier, later in pairwise(starts))


def test_training_starts_depend_on_seed_epoch_and_index_alone() -> None:
    config = window(4, 1, drawn=3)
    first = training_starts(500, config, "skip", 1, 2, 3)
    np.random.seed(0)
    assert training_starts(500, config, "skip", 1, 2, 3) == first
    others = [training_starts(500, config, "skip", *key) for key in ((0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3))]
    assert all(other != first for other in others)


@pytest.mark.parametrize(("length", "frequency"), [(1, 1), (3, 2), (5, 1)])
def test_second_starts_are_all_others_of_a_naive_enumeration(length: int, frequency: int) -> None:
    config = window(length, frequency, step=2)
    for num_frames in (1, 3, 5, 6, 9):
        allowed = naive_starts(num_frames, length, frequency, step=1)
        for first in allowed or [0]:
            draws = [second_start(first, num_frames, config, 3, epoch, 4) for epoch in range(300)]
            others = set(allowed) - {first}
            assert set(draws) == (others or {first})
            expected = 300 / max(1, len(others))
            assert all(0.4 * expected < draws.count(start) < 1.7 * expected for start in set(draws))


def test_second_starts_depend_on_seed_epoch_index_and_first_start_alone() -> None:
    config = window(4, 1)
    keys = [(10, 1, 2, 3), (11, 1, 2, 3), (10, 0, 2, 3), (10, 1, 0, 3), (10, 1, 2, 0)]
    draws = [second_start(first, 100_000, config, *key) for first, *key in keys]
    np.random.seed(0)
    assert [second_start(first, 100_000, config, *key) for first, *key in keys] == draws
    assert len(set(draws)) == len(keys)


@pytest.mark.parametrize(("short_videos", "expected"), [("skip", []), ("loop", [0]), ("pad", [0])])
def test_short_videos_have_no_window_or_one(short_videos: str, expected: list[int]) -> None:
    config = window(4, 2, drawn=5, evaluated=5)
    assert training_starts(6, config, short_videos, 0, 0, 0) == expected  # type: ignore[arg-type]
    assert evaluation_starts(6, config, short_videos) == expected  # type: ignore[arg-type]


def test_evaluation_spreads_windows_evenly() -> None:
    assert evaluation_starts(100, window(10, evaluated=3), "skip") == [0, 40, 90]
    assert evaluation_starts(30, window(10, evaluated=8), "skip") == [0, 10, 20]
    assert evaluation_starts(100, window(10, evaluated=2), "skip") == [0, 90]


def test_a_single_evaluation_window_lies_in_the_middle() -> None:
    assert evaluation_starts(100, window(10, evaluated=1), "skip") == [45]
    assert evaluation_starts(16, window(8, 2, evaluated=4), "skip") == [0]
    assert evaluation_starts(19, window(10, evaluated=4), "skip") == [4]


def test_frame_indices() -> None:
    config = window(4, 3)
    assert span(config) == 10
    assert frame_indices(2, 12, config, "skip").tolist() == [2, 5, 8, 11]
    assert frame_indices(0, 5, config, "loop").tolist() == [0, 3, 1, 4]
    assert frame_indices(0, 5, config, "pad").tolist() == [0, 3, 4, 4]
    assert frame_indices(0, 1, config, "loop").tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="does not fit"):
        frame_indices(3, 12, config, "skip")


def test_epoch_order_is_a_permutation_that_changes_with_seed_and_epoch() -> None:
    order = epoch_order(50, 1, 2)
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() == epoch_order(50, 1, 2).tolist()
    assert order.tolist() != epoch_order(50, 1, 3).tolist()
    assert order.tolist() != epoch_order(50, 2, 2).tolist()
