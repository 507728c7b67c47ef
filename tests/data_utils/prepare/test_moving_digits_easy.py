from __future__ import annotations

import hashlib

import numpy as np
import pytest

from data_utils.prepare import moving_digits_easy
from data_utils.prepare.moving_digits import PROGRAMS
from data_utils.prepare.moving_digits_easy import FRAMES, SIZE, render

# (rows, columns), row 0 at the top
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def test_the_frames_are_those_of_version_1() -> None:
    digest = hashlib.sha256()
    for index in range(6):
        rng = np.random.default_rng([7, index])
        scan = rng.integers(17, size=(8, 8)).astype(np.float32) / np.float32(16)
        digest.update(render(scan, PROGRAMS[5 * index % 12], rng).tobytes())
    assert digest.hexdigest() == "7b7723bf9ecc7d5673a1317f2cfaf3e27631d24ea57f35b21fa6d785f52143f8"


@pytest.mark.parametrize("program", PROGRAMS, ids="-".join)
def test_the_digit_moves_evenly_and_stays_inside_the_frame(program: tuple[str, str]) -> None:
    for seed in range(20):
        side = 11.0 + 0.15 * seed
        path = moving_digits_easy._path(program, SIZE - side, np.random.default_rng(seed))
        assert path.shape == (FRAMES, 2)
        assert path.min() >= -1e-9
        assert (path + side).max() <= SIZE + 1e-9
        # The first frame is one step after the start of the first motion.
        for name, part in zip(program, (path[: FRAMES // 2], path[FRAMES // 2 - 1 :]), strict=True):
            steps = np.diff(part, axis=0)
            np.testing.assert_allclose(steps, steps[:1].repeat(len(steps), axis=0), atol=1e-9)
            np.testing.assert_allclose(steps[0] / np.abs(steps[0]).sum(), DIRECTIONS[name], atol=1e-9)
            assert 9 - 1e-9 <= np.abs(steps[0]).sum() * FRAMES / 2 <= 10 + 1e-9


@pytest.mark.parametrize("number", [0, 4, 11])
def test_nothing_of_the_digit_is_cut_off(number: int) -> None:
    for seed in range(4):
        # A full square instead of a digit, and nothing, over the same background: rows and columns that it covers.
        frames, empty = (
            render(np.full((8, 8), value, np.float32), PROGRAMS[number], np.random.default_rng([seed, number]))
            for value in (1, 0)
        )
        assert frames.shape == (FRAMES, SIZE, SIZE, 3)
        assert frames.dtype == np.uint8
        square = frames[..., 0].astype(int) - empty[..., 0] > 25
        for axis in (1, 2):
            covered = square.any(axis=axis).sum(axis=1)
            assert covered.min() >= covered.max() - 2
            assert covered.min() >= 9
