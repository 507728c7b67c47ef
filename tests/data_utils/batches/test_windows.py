from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise, product
from typing import Literal

import numpy as np
import pytest
from scipy.stats import chisquare

from config.data import WindowConfig
from data_utils.batches.windows import (
    epoch_order,
    evaluation_starts,
    frame_indices,
    frames_needed,
    num_evaluation_windows,
    num_training_windows,
    num_windows,
    repeats_frames,
    second_start,
    training_starts,
    window_starts,
    without_rate,
)

FPS = 25.0  # which has no say without frequency_fps


def window(
    length: int,
    frequency: int = 1,
    step: int | None = None,
    drawn: int = 1,
    evaluated: int = 1,
    per_second: float | None = None,
    sampling: Literal["dense", "uniform"] = "dense",
) -> WindowConfig:
    return WindowConfig(
        length=length,
        sampling=sampling,
        frequency=frequency,
        frequency_fps=per_second,
        step=step,
        max_seq_per_video=drawn,
        eval_windows=evaluated,
    )


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
        assert list(window_starts(num_frames, FPS, config, "skip")) == expected
        assert list(window_starts(num_frames, FPS, config, "loop")) == (expected or [0])
        assert list(window_starts(num_frames, FPS, config, "pad")) == (expected or [0])
        assert num_windows(num_frames, FPS, config, "skip") == len(expected)


def test_counts_are_vectorised() -> None:
    config = window(4, 2, step=3, drawn=3)
    frames = np.arange(1, 30)
    assert num_windows(frames, FPS, config, "skip").tolist() == [
        int(num_windows(int(n), FPS, config, "skip")) for n in frames
    ]
    drawn = num_training_windows(frames, FPS, config, "pad")
    assert drawn.tolist() == [len(training_starts(int(n), FPS, config, "pad", 0, 0, 0)) for n in frames]
    assert drawn.max() == 3
    assert drawn.min() == 1


def test_training_draws_every_allowed_set_of_starts_and_no_other() -> None:
    config = window(3, 2, step=4, drawn=2)  # span 5; 13 frames: starts 0 to 8
    allowed = {pair for pair in combinations(range(9), 2) if pair[1] - pair[0] >= 4}
    draws = [tuple(training_starts(13, FPS, config, "skip", 0, epoch, 7)) for epoch in range(1500)]
    counts = {pair: draws.count(pair) for pair in set(draws)}
    assert set(counts) == allowed
    expected = 1500 / len(allowed)
    assert all(0.6 * expected < count < 1.5 * expected for count in counts.values())


def test_training_draws_single_frames_off_the_grid() -> None:
    starts = {training_starts(20, FPS, window(8, 2), "skip", 3, epoch, 0)[0] for epoch in range(200)}
    assert starts == set(range(20 - 15 + 1))


@pytest.mark.parametrize("frames", [5, 6, 20, 100])
def test_training_starts_fit_and_keep_their_distance(frames: int) -> None:
    config = window(5, 1, step=3, drawn=4)
    for epoch in range(50):
        starts = training_starts(frames, FPS, config, "skip", 1, epoch, 2)
        assert len(starts) == min(4, (frames - 5) // 3 + 1)
        assert min(starts) >= 0
        assert max(starts) <= frames - 5
        assert all(later - earlier >= 3 for earlier, later in pairwise(starts))


def test_training_starts_depend_on_seed_epoch_and_index_alone() -> None:
    config = window(4, 1, drawn=3)
    first = training_starts(500, FPS, config, "skip", 1, 2, 3)
    np.random.seed(0)
    assert training_starts(500, FPS, config, "skip", 1, 2, 3) == first
    others = [training_starts(500, FPS, config, "skip", *key) for key in ((0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3))]
    assert all(other != first for other in others)


@pytest.mark.parametrize(("length", "frequency"), [(1, 1), (3, 2), (5, 1)])
def test_second_starts_are_all_others_of_a_naive_enumeration(length: int, frequency: int) -> None:
    config = window(length, frequency, step=2)
    for num_frames in (1, 3, 5, 6, 9):
        allowed = naive_starts(num_frames, length, frequency, step=1)
        for first in allowed or [0]:
            draws = [second_start(first, num_frames, FPS, config, 3, epoch, 4) for epoch in range(300)]
            others = set(allowed) - {first}
            assert set(draws) == (others or {first})
            expected = 300 / max(1, len(others))
            assert all(0.4 * expected < draws.count(start) < 1.7 * expected for start in set(draws))


def test_second_starts_depend_on_seed_epoch_index_and_first_start_alone() -> None:
    config = window(4, 1)
    keys = [(10, 1, 2, 3), (11, 1, 2, 3), (10, 0, 2, 3), (10, 1, 0, 3), (10, 1, 2, 0)]
    draws = [second_start(first, 100_000, FPS, config, *key) for first, *key in keys]
    np.random.seed(0)
    assert [second_start(first, 100_000, FPS, config, *key) for first, *key in keys] == draws
    assert len(set(draws)) == len(keys)


@pytest.mark.parametrize(("short_videos", "expected"), [("skip", []), ("loop", [0]), ("pad", [0])])
def test_short_videos_have_no_window_or_one(short_videos: str, expected: list[int]) -> None:
    config = window(4, 2, drawn=5, evaluated=5)
    assert training_starts(6, FPS, config, short_videos, 0, 0, 0) == expected  # type: ignore[arg-type]
    assert evaluation_starts(6, FPS, config, short_videos) == expected  # type: ignore[arg-type]


def test_evaluation_spreads_windows_evenly() -> None:
    assert evaluation_starts(100, FPS, window(10, evaluated=3), "skip") == [0, 40, 90]
    assert evaluation_starts(30, FPS, window(10, evaluated=8), "skip") == [0, 10, 20]
    assert evaluation_starts(100, FPS, window(10, evaluated=2), "skip") == [0, 90]


def test_a_single_evaluation_window_lies_in_the_middle() -> None:
    assert evaluation_starts(100, FPS, window(10, evaluated=1), "skip") == [45]
    assert evaluation_starts(16, FPS, window(8, 2, evaluated=4), "skip") == [0]
    assert evaluation_starts(19, FPS, window(10, evaluated=4), "skip") == [4]


def test_frame_indices() -> None:
    config = window(4, 3)
    assert frames_needed(FPS, config) == 10
    assert frame_indices(2, 12, FPS, config, "skip").tolist() == [2, 5, 8, 11]
    assert frame_indices(0, 5, FPS, config, "loop").tolist() == [0, 3, 1, 4]
    assert frame_indices(0, 5, FPS, config, "pad").tolist() == [0, 3, 4, 4]
    assert frame_indices(0, 1, FPS, config, "loop").tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="does not fit"):
        frame_indices(3, 12, FPS, config, "skip")


def test_epoch_order_is_a_permutation_that_changes_with_seed_and_epoch() -> None:
    order = epoch_order(50, 1, 2)
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() == epoch_order(50, 1, 2).tolist()
    assert order.tolist() != epoch_order(50, 1, 3).tolist()
    assert order.tolist() != epoch_order(50, 2, 2).tolist()


# ---------------------------------------------------------------------------------------------------- frequency_fps


def naive_offsets(length: int, fps: float, per_second: float) -> list[int]:
    """The frame of a long video that is nearest to each moment; the later of two that are as near."""
    offsets = []
    for k in range(length):
        moment = k * Fraction(fps) / Fraction(per_second)
        offsets.append(min(range(200), key=lambda frame: (abs(frame - moment), -frame)))
    return offsets


def naive_windows(num_frames: int, offsets: list[int], step: int | None) -> list[list[int]]:
    """Tries every start and keeps the windows on the grid whose every frame exists."""
    grid = step or offsets[-1] + 1
    windows = [[start + offset for offset in offsets] for start in range(0, num_frames, grid)]
    return [frames for frames in windows if max(frames) < num_frames]


RATES = [(25.0, 12.5), (25.0, 10.0), (30000 / 1001, 10.0), (12.0, 25.0), (24.0, 24.0), (29.97, 29.97), (60.0, 7.5)]


@pytest.mark.parametrize(("fps", "per_second"), RATES)
@pytest.mark.parametrize(("length", "step"), list(product([1, 2, 5], [None, 1, 4])))
def test_windows_by_seconds_are_those_of_a_naive_enumeration(
    fps: float, per_second: float, length: int, step: int | None
) -> None:
    offsets = naive_offsets(length, fps, per_second)
    config = window(length, 3, step, drawn=2, evaluated=100, per_second=per_second)
    assert frames_needed(fps, config) == offsets[-1] + 1
    for num_frames in range(1, 45):
        expected = naive_windows(num_frames, offsets, step)
        assert num_windows(num_frames, fps, config, "skip") == len(expected)
        starts = list(window_starts(num_frames, fps, config, "skip"))
        assert [frame_indices(s, num_frames, fps, config, "skip").tolist() for s in starts] == expected
        if len(expected) > 1:
            assert evaluation_starts(num_frames, fps, config, "skip") == starts
        for kept in ("loop", "pad"):
            count = num_windows(num_frames, fps, config, kept)
            assert count == max(1, len(expected))
            if not expected:
                (start,) = evaluation_starts(num_frames, fps, config, kept)
                frames = frame_indices(start, num_frames, fps, config, kept)
                assert frames.tolist() == [
                    o % num_frames if kept == "loop" else min(o, num_frames - 1) for o in offsets
                ]
        drawn = training_starts(num_frames, fps, config, "skip", 1, 2, 3)
        allowed = [frames[0] for frames in naive_windows(num_frames, offsets, 1)]
        assert len(drawn) == min(2, len(expected))
        assert set(drawn) <= set(allowed)
        assert all(later - earlier >= (step or offsets[-1] + 1) for earlier, later in pairwise(drawn))


def test_the_same_motion_whatever_the_frame_rate() -> None:
    config = window(6, 99, per_second=5.0)
    for fps in (5.0, 7.3, 12.0, 25.0, 29.97, 60.0):
        seconds = frame_indices(0, 1000, fps, config, "skip") / fps
        assert np.abs(seconds - np.arange(6) / 5).max() <= 0.5 / fps + 1e-9


@pytest.mark.parametrize(("fps", "per_second"), [(25.0, None), (25.0, 10.0), (10.0, 25.0)])
def test_drawn_starts_are_uniform_and_new_every_epoch(fps: float, per_second: float | None) -> None:
    config = window(6, 2, per_second=per_second)
    room = 60 - frames_needed(fps, config) + 1
    starts = [training_starts(60, fps, config, "skip", 5, epoch, 11)[0] for epoch in range(40 * room)]
    assert chisquare(np.bincount(starts, minlength=room)).pvalue > 1e-3
    assert np.mean([one == other for one, other in pairwise(starts)]) < 3 / room
    others = [second_start(7, 60, fps, config, 5, epoch, 11) for epoch in range(40 * room)]
    counts = np.bincount(others, minlength=room)
    assert counts[7] == 0
    assert chisquare(np.delete(counts, 7)).pvalue > 1e-3
    # Pairs, `step` apart, are as likely as each other too.
    config = window(3, 2, step=9, drawn=2, per_second=per_second)
    last = 24 - frames_needed(fps, config)
    pairs = [(a, b) for a in range(last + 1) for b in range(a + 9, last + 1)]
    draws = [tuple(training_starts(24, fps, config, "skip", 0, epoch, 7)) for epoch in range(40 * len(pairs))]
    assert chisquare([draws.count(pair) for pair in pairs]).pvalue > 1e-3
    assert set(draws) == set(pairs)


def test_counts_by_seconds_are_vectorised_over_videos() -> None:
    config = window(4, step=3, drawn=3, evaluated=2, per_second=10.0)
    generator = np.random.default_rng(0)
    frames, fps = generator.integers(1, 60, 300), generator.choice([5.0, 12.0, 25.0, 29.97, 60.0], 300)
    assert frames_needed(fps, config).tolist() == [frames_needed(float(rate), config) for rate in fps]
    each = list(zip(frames.tolist(), fps.tolist(), strict=True))
    for kept in ("skip", "pad"):
        counts = num_training_windows(frames, fps, config, kept)
        assert counts.tolist() == [len(training_starts(n, f, config, kept, 0, 0, 0)) for n, f in each]
        counts = num_evaluation_windows(frames, fps, config, kept)
        assert counts.tolist() == [len(evaluation_starts(n, f, config, kept)) for n, f in each]
    assert frames_needed(fps, window(4, 3)).tolist() == [10] * 300  # where the rate has no say


def test_a_frame_rate_that_is_needed_must_be_known() -> None:
    rates = np.array([0.0, 25.0, np.nan, -1.0, np.inf])
    timed = window(4, per_second=10.0)
    assert without_rate(rates, timed).tolist() == [True, False, True, True, True]
    assert not without_rate(rates, window(4)).any()
    assert frames_needed(0.0, window(4, 2)) == 7
    for wrong in (0.0, float("nan")):
        with pytest.raises(ValueError, match="frame rate is not known"):
            frame_indices(0, 100, wrong, timed, "skip")
    assert repeats_frames(rates[:2], window(4, per_second=30.0)).tolist() == [True, True]
    assert repeats_frames(rates[:2], timed).tolist() == [True, False]
    assert not repeats_frames(rates[:2], window(4)).any()
    picture = window(1, per_second=10.0)  # a single frame needs no rate
    assert not without_rate(rates, picture).any()
    assert not repeats_frames(rates[:2], picture).any()
    assert frames_needed(rates, picture).tolist() == [1] * 5
    assert frame_indices(3, 4, 0.0, picture, "skip").tolist() == [3]


# ------------------------------------------------------------------------------------------------- uniform sampling


def test_a_uniform_window_has_one_frame_of_every_segment_evenly_far_apart() -> None:
    config = window(8, frequency=7, step=3, drawn=3, evaluated=4, sampling="uniform")  # the first two have no say
    for num_frames in range(1, 70):
        every = [frame_indices(start, num_frames, FPS, config, "skip") for start in range(num_frames)]
        for frames in every:
            for number, frame in enumerate(frames):  # the segment's exact bounds, widened to whole frames
                assert number * num_frames // 8 <= frame < -(-(number + 1) * num_frames // 8)
            assert np.ptp(np.diff(frames)) <= 1
        assert {int(frame) for frames in every for frame in frames} == set(range(num_frames))


def test_uniform_windows_of_a_short_video_repeat_frames_and_none_is_short() -> None:
    config = window(8, evaluated=4, sampling="uniform")
    assert frame_indices(0, 3, FPS, config, "skip").tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert frames_needed(np.array([0.0, FPS]), config).tolist() == [1, 1]
    assert num_windows(np.array([1, 3, 8, 9, 24]), FPS, config, "skip").tolist() == [1, 1, 1, 2, 3]
    assert evaluation_starts(1, FPS, config, "skip") == [0]


def test_uniform_windows_of_training_differ_by_a_frame_and_take_every_place() -> None:
    config = window(4, drawn=2, sampling="uniform")
    seen = set()
    for epoch in range(400):
        first, second = training_starts(11, FPS, config, "skip", 0, epoch, 0)
        assert second - first >= 4
        one, other = (frame_indices(start, 11, FPS, config, "skip") for start in (first, second))
        assert (other > one).all()
        seen |= {first, second}
        assert second_start(first, 11, FPS, config, 0, epoch, 0) in set(range(11)) - {first}
    assert seen == set(range(11))


def test_uniform_evaluation_windows_are_evenly_spread_and_a_single_one_takes_the_middle() -> None:
    one, four = (window(4, evaluated=count, sampling="uniform") for count in (1, 4))
    starts = evaluation_starts(21, FPS, one, "skip")
    assert frame_indices(starts[0], 21, FPS, one, "skip").tolist() == [2, 7, 13, 18]  # of 0-5, 5-10, 10-15, 15-20
    assert evaluation_starts(21, FPS, four, "skip") == [0, 8, 12, 20]
