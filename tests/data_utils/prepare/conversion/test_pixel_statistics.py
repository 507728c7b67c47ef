from __future__ import annotations

import numpy as np
import pytest

from data_utils.prepare.conversion.pixel_statistics import PixelSums


def test_parts_add_up_to_the_whole() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 30, 40, 3)).astype(np.uint8)
    whole, parts = PixelSums(), [PixelSums(), PixelSums()]
    for number, frame in enumerate(frames):
        whole.add_frame(frame)
        parts[number % 2].add_frame(frame)
    parts[1].add(parts[0].values)
    assert parts[1].values == whole.values
    mean, std = whole.mean_std()
    np.testing.assert_allclose(mean, frames.mean((0, 1, 2)) / 255, atol=1e-6)
    np.testing.assert_allclose(std, frames.std((0, 1, 2)) / 255, atol=1e-6)


def test_of_large_frames_a_grid_counts() -> None:
    sums = PixelSums()
    sums.add_frame(np.tile(np.arange(256, dtype=np.uint8), (1024, 8))[..., None].repeat(3, axis=2))
    assert 40_000 < sums.values[0] <= 66_000
    mean, std = sums.mean_std()
    assert mean[0] == pytest.approx(0.5, abs=0.01)
    assert std[0] == pytest.approx(0.2887, abs=0.01)


def test_no_spread_and_no_pixels() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        PixelSums().mean_std()
    sums = PixelSums()
    sums.add_frame(np.full((4, 4, 3), 255, np.uint8))
    assert sums.mean_std() == ((1.0, 1.0, 1.0), (round(1 / 255, 6),) * 3)
