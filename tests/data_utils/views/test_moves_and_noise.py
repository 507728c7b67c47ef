"""Shift, rotation and noise by what becomes of dots, mirrors and gray."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from data_utils.views.augment import Draw, augment, draw, transform
from data_utils.views.crops import Box, Move
from tests.data_utils.views.augment_cases import augmentation, keys, pixels


def dots(height: int, width: int, row: int, column: int) -> Tensor:
    video = torch.zeros(1, 2, 3, height, width, dtype=torch.float64)
    video[..., row, column] = 1
    return video


def test_a_shift_moves_a_dot_by_its_pixels_and_between_them() -> None:
    video = dots(9, 12, 4, 5)
    moved = transform(video, [Draw(move=Move(right=3.0, down=-2.0))])
    torch.testing.assert_close(moved, dots(9, 12, 2, 8), rtol=0, atol=1e-12)
    between = transform(video, [Draw(move=Move(right=-1.25, down=0.5))])
    expected = sum(
        share * dots(9, 12, row, column)
        for share, row, column in ((0.375, 4, 4), (0.125, 4, 3), (0.375, 5, 4), (0.125, 5, 3))
    )
    torch.testing.assert_close(between, expected, rtol=0, atol=1e-12)


def test_what_a_shift_brings_in_from_outside_is_the_frame_in_a_mirror() -> None:
    video = pixels(1).double() / 255
    moved = transform(video, [Draw(move=Move(right=4.0, down=-3.0))])[0].numpy()
    mirrored = np.pad(video[0].numpy(), ((0, 0), (0, 0), (0, 3), (4, 0)), mode="symmetric")
    np.testing.assert_allclose(moved, mirrored[..., 3:, :12], rtol=0, atol=1e-12)


def test_a_shift_is_in_pixels_of_the_result_after_crop_and_flip() -> None:
    """A box of 8x12 source pixels becomes 4x6: a block of 2x2 of them is one pixel of the result."""
    video = torch.zeros(1, 1, 3, 16, 20, dtype=torch.float64)
    video[..., 6:8, 8:10] = 1  # in the box row 1, column 2: column 3 when flipped
    box = Box(4 / 20, 4 / 16, 12 / 20, 8 / 16)
    for flip, column in ((False, 2), (True, 3)):
        one = Draw(box=box, flip=flip, move=Move(right=1.0, down=2.0))
        expected = torch.zeros(1, 1, 3, 4, 6, dtype=torch.float64)
        expected[..., 3, column + 1] = 1
        torch.testing.assert_close(transform(video, [one], (4, 6)), expected, rtol=0, atol=1e-12)


def test_a_shift_shows_what_lies_beyond_the_box_before_it_shows_the_mirror() -> None:
    video = pixels(1, 1, 9, 12).double() / 255
    box = Box(3 / 12, 0.0, 6 / 12, 1.0)
    result = transform(video, [Draw(box=box, move=Move(right=5.0))], (9, 6))[0].numpy()
    source = np.pad(video[0].numpy(), ((0, 0), (0, 0), (0, 0), (2, 0)), mode="symmetric")
    np.testing.assert_allclose(result, source[..., :6], rtol=0, atol=1e-12)


def test_a_quarter_turn_is_rot90_and_small_turns_are_clockwise() -> None:
    video = pixels(1, 2, 8, 8).double() / 255
    turned = transform(video, [Draw(move=Move(degrees=90.0))])
    torch.testing.assert_close(turned, video.rot90(-1, (-2, -1)), rtol=0, atol=1e-12)
    # A dot on the right end of the middle row goes down.
    row, column = np.argwhere(transform(dots(15, 21, 7, 19), [Draw(move=Move(degrees=20.0))])[0, 0, 0].numpy() > 0.3)[0]
    angle = math.atan2(row - 7, column - 10)
    assert angle == pytest.approx(math.radians(20), abs=0.06)
    assert math.hypot(row - 7, column - 10) == pytest.approx(9, abs=0.7)


def test_moves_alone_flip_as_well() -> None:
    video = pixels(2).double() / 255
    draws = [Draw(flip=True, move=Move(right=2.0)), Draw(flip=True)]
    result = transform(video, draws)
    expected = np.pad(video[0].flip(-1).numpy(), ((0, 0), (0, 0), (0, 0), (2, 0)), mode="symmetric")[..., :12]
    np.testing.assert_allclose(result[0].numpy(), expected, rtol=0, atol=1e-12)
    assert torch.equal(result[1], video[1].flip(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_new_in_every_pixel_frame_channel_window_and_view(dtype: torch.dtype) -> None:
    config = augmentation(noise={"probability": 1.0, "std": [0.03, 0.03]})
    video = torch.full((4, 6, 3, 30, 40), 0.5, dtype=dtype)
    first, second = (augment(video, config, [(7, row, view) for row in range(4)]) - 0.5 for view in (0, 1))
    assert first.dtype == dtype
    assert kstest(first.flatten().double().numpy() / 0.03, "norm").pvalue > 1e-3
    flat = torch.cat([first, second]).flatten(0, 2).flatten(1).double().numpy()  # a row for all that may not be alike
    correlations = np.corrcoef(flat) - np.eye(len(flat))
    assert np.abs(correlations).max() < 5.5 / math.sqrt(flat.shape[1])
    neighbours = np.corrcoef(first[..., 1:].flatten().numpy(), first[..., :-1].flatten().numpy())[0, 1]
    assert abs(neighbours) < 4 / math.sqrt(first.numel())


def test_noise_is_a_function_of_the_key_alone() -> None:
    config = augmentation(noise=0.6)
    video = pixels(12)
    torch.manual_seed(1)
    together = augment(video, config, keys(12))
    torch.manual_seed(2)
    order = [5, 11, 0, 3, 4]
    mixed = augment(video[order], config, [keys(12)[index] for index in order])
    assert torch.equal(mixed, together[order])
    strided = video.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert torch.equal(augment(strided, config, keys(12)), together)
    noisy = torch.tensor([draw(config, key).noise > 0 for key in keys(12)])
    assert torch.equal(together[~noisy], video[~noisy] / 255)
    assert 0 < noisy.sum() < 12


def test_noise_comes_last_and_is_cut_to_what_a_pixel_can_be() -> None:
    config = augmentation(noise={"probability": 1.0, "std": [0.1, 0.1]}, blur={"probability": 1.0, "sigma": [2.0, 2.0]})
    black = torch.zeros(1, 2, 3, 40, 40, dtype=torch.uint8)
    noise = augment(black, config, keys(1))
    assert noise.min() == 0
    assert noise[noise > 0].square().mean().sqrt() == pytest.approx(0.1, rel=0.05)
    assert augment(black + 255, config, keys(1)).max() == 1
    rounded = augment(black + 128, config, keys(1)).mul(255).round()
    assert rounded.std() == pytest.approx(25.5, rel=0.05)
