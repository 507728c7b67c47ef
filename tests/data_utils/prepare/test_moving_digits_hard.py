from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.prepare.moving_digits import PROGRAMS, _scans
from data_utils.prepare.moving_digits_easy import FRAMES, SIZE
from data_utils.prepare.moving_digits_hard import Scene, draw_scene, paint, render_hard

# (rows, columns), row 0 at the top
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
HALF = FRAMES // 2
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def scene(seed: int, program: tuple[str, str] = ("left", "up")) -> Scene:
    rng = np.random.default_rng([3, seed])
    scan, other_scan = (_scans()["train"][digit][seed % 60] for digit in (seed % 10, (seed + 1) % 10))
    return draw_scene(scan, other_scan, program, rng)


def alone(shown: Scene) -> Scene:
    """The labelled digit on black, in steady light without noise."""
    return replace(
        shown,
        other=None,
        background_HW=np.zeros_like(shown.background_HW),
        light_T=np.ones(FRAMES),
        noise_THW=np.zeros_like(shown.noise_THW),
    )


def centres(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The centre of brightness of every frame, [T, 2]."""
    weight = frames[..., 0].astype(np.float64)
    moments = [(weight * axis).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)) for axis in (ROWS, COLUMNS)]
    return np.stack(moments, axis=1)


def test_the_frames_are_a_function_of_what_is_given() -> None:
    scan, other_scan = _scans()["train"][3][0], _scans()["train"][5][0]
    first, again, other = (render_hard(scan, other_scan, ("up", "left"), np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.shape == (FRAMES, SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    assert (first == first[..., :1]).all()


@pytest.mark.parametrize("program", PROGRAMS, ids="-".join)
def test_the_labelled_digit_follows_its_program_in_the_frames(program: tuple[str, str]) -> None:
    paused = []
    for seed in range(12):
        path = centres(paint(alone(scene(seed, program))))
        steps = np.diff(path, axis=0)
        # The first frame of a half is one step after the end of the half before it.
        for name, of_half in zip(program, (steps[: HALF - 1], steps[HALF - 1 :]), strict=True):
            direction = np.array(DIRECTIONS[name])
            along, across = of_half @ direction, of_half @ direction[::-1]
            assert along.min() > -0.25  # what resampling does to a centre
            assert np.abs(across).max() < 0.25
            assert 4.5 < along.sum() < 12
            assert along.max() > 1.5 * along.mean() or along.std() > 0.2  # not an even speed
            paused.append(np.isclose(along, 0, atol=1e-9).any())
    assert 0.5 < np.mean(paused) < 0.95


@pytest.mark.parametrize("program", PROGRAMS, ids="-".join)
def test_a_window_of_every_second_frame_shows_both_motions(program: tuple[str, str]) -> None:
    for seed in range(50):
        path = scene(seed, program).labelled.corners_T2
        for start in (0, 1):
            for name, half in zip(program, np.split(path[start::2], 2), strict=True):
                assert (half[-1] - half[0]) @ np.array(DIRECTIONS[name]) > 1.5


def test_both_digits_stay_inside_the_frame() -> None:
    for seed in range(100):
        shown = scene(seed, PROGRAMS[seed % 12])
        assert shown.other is not None
        for sprite in (shown.labelled, shown.other):
            assert sprite.corners_T2.shape == (FRAMES, 2)
            assert sprite.corners_T2.min() >= -1e-9
            assert (sprite.corners_T2 + sprite.side).max() <= SIZE + 1e-9


def test_in_every_frame_the_labelled_digit_is_the_larger_and_brighter_one_and_in_front() -> None:
    for seed in range(20):
        shown = scene(seed)
        assert shown.other is not None
        assert shown.labelled.side > shown.other.side + 0.5
        assert shown.labelled.ink > shown.other.ink + 0.05
        # Squares in place of scans, the other one partly under the labelled one.
        square = np.ones((8, 8), np.float32)
        labelled = replace(shown.labelled, scan=square)
        other = replace(shown.other, scan=square, corners_T2=labelled.corners_T2 + 8)
        both = alone(replace(shown, labelled=labelled))
        only = paint(both).astype(int)
        covered = paint(replace(both, other=other)).astype(int)
        inside = only == round(255 * labelled.ink)
        assert inside.sum() > FRAMES * 50 * 3
        np.testing.assert_array_equal(covered[inside], only[inside])
        assert (covered[~inside] > only[~inside]).any()


def test_the_other_digit_follows_no_program() -> None:
    straight = []
    for seed in range(200):
        other = scene(seed).other
        assert other is not None
        for half in np.split(other.corners_T2, 2):
            steps = np.diff(half, axis=0)
            longest = max(np.abs(steps.sum(axis=0)))
            straight.append(longest > 0.95 * np.linalg.norm(steps, axis=1).sum())
    assert np.mean(straight) < 0.1


def test_the_background_moves_as_fast_as_the_digits_and_is_as_strong() -> None:
    speeds: dict[str, list[float]] = {"labelled": [], "other": [], "background": []}
    contrasts, strengths = [], []
    for seed in range(60):
        shown = scene(seed)
        assert shown.other is not None
        paths = (shown.labelled.corners_T2, shown.other.corners_T2, shown.drift_T2)
        for name, path in zip(speeds, paths, strict=True):
            speeds[name].append(float(np.linalg.norm(np.diff(path, axis=0), axis=1).mean()))
        strengths.append(np.ptp(shown.background_HW))
        contrasts.append(shown.labelled.ink - shown.background_HW.mean())
    labelled, other, background = (float(np.mean(values)) for values in speeds.values())
    assert 0.75 < background / labelled < 1.5
    assert 0.75 < other / labelled < 1.5
    assert np.mean(strengths) > np.mean(contrasts)


def test_the_background_moves_in_the_frames() -> None:
    shown = scene(0)
    nothing = replace(shown.labelled, scan=np.zeros((8, 8), np.float32))
    empty = replace(alone(shown), labelled=nothing, background_HW=shown.background_HW)
    frames = paint(replace(empty, drift_T2=np.outer(np.arange(float(FRAMES)), (2.0, -1.0))))
    assert frames[0].std() > 20
    for t in range(FRAMES):
        np.testing.assert_array_equal(frames[t], np.roll(frames[0], (2 * t, -t), axis=(0, 1)))


def test_the_light_flickers() -> None:
    shown = scene(1)
    grey = replace(alone(shown), background_HW=np.full((SIZE, SIZE), 0.4, np.float32), light_T=shown.light_T)
    corner = paint(replace(grey, labelled=replace(shown.labelled, scan=np.zeros((8, 8), np.float32))))[:, 0, 0, 0]
    np.testing.assert_allclose(corner, 255 * 0.4 * shown.light_T, atol=0.51)
    assert np.ptp(shown.light_T) > 0.2
    assert np.abs(np.diff(shown.light_T)).mean() > 0.05
