from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from data_utils.video_files.cover import cover
from data_utils.video_files.decoding import fit


def smooth_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Waves that differ by channel and direction and are much longer than a pixel."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9), np.cos(columns / 11), np.sin((rows + columns) / 13)]
    return np.stack([128 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [(60, 80), (61, 33), (120, 160), (200, 300), (7, 120), (121, 40)])
@pytest.mark.parametrize("stored", [(120, 160), (121, 95)])
def test_shows_the_same_part_as_the_video_decoder(stored: tuple[int, int], size: tuple[int, int]) -> None:
    picture = smooth_picture(*stored)
    expected = fit(av.VideoFrame.from_ndarray(picture, format="rgb24"), size, VideoReformatter())
    covered = cover(picture, size)
    assert covered.shape == (*size, 3)
    assert covered.dtype == np.uint8
    assert np.abs(covered.astype(int) - expected).max() <= 3


def test_keeps_fine_texture_as_the_video_decoder_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 1), np.uint8).repeat(3, axis=2)
    picture.flags.writeable = False  # as frames that come straight out of a file
    expected = fit(av.VideoFrame.from_ndarray(picture, format="rgb24"), (50, 70), VideoReformatter())
    assert np.abs(cover(picture, (50, 70)).astype(int) - expected).mean() < 1


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    assert np.shares_memory(cover(picture, (20, 31)), picture)
    assert np.array_equal(cover(picture, (20, 21)), picture[:, 5:26])


def test_fine_texture_does_not_alias() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[::2] = 255
    assert np.abs(cover(picture, (24, 24)).astype(int) - 128).max() < 50
