"""Static swap against calculations in numpy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2

from data_utils.views.augment import Draw, augment, draw, partners, transform
from data_utils.views.static_swap import static_part, swap_static
from tests.data_utils.views.augment_cases import augmentation, keys, pixels


@pytest.mark.parametrize("length", [*range(1, 11), 16, 20, 33])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_the_static_part_is_the_lower_median_of_every_pixel(length: int, dtype: type[np.number[Any]]) -> None:
    video: NDArray[Any] = np.random.default_rng(length).integers(0, 30, (2, length, 3, 9, 11)).astype(dtype)
    result = static_part(torch.from_numpy(video))
    assert result.numpy().dtype == dtype
    assert np.array_equal(result.numpy(), np.sort(video, axis=1)[:, (length - 1) // 2])


@pytest.mark.parametrize("length", range(2, 13))
def test_every_order_of_zeros_and_ones_has_its_median(length: int) -> None:
    """A network of comparisons that is right for all of these is right for all numbers (Knuth, 5.3.4, theorem Z)."""
    rows = torch.tensor(list(product((0, 1), repeat=length)), dtype=torch.uint8)
    result = static_part(rows[:, :, None, None, None]).flatten()
    assert torch.equal(result, rows.sort(1).values[:, (length - 1) // 2])


def test_a_pixel_moves_where_one_of_its_channels_moves() -> None:
    own = torch.full((1, 3, 1, 1), 0.5)
    window = own[:, None].repeat(1, 2, 1, 1, 1)
    window[0, 1, 2] = 0.9
    result = swap_static(window, own, torch.zeros(1, 3, 1, 1), "mask")[0, :, :, 0, 0]
    assert result[0].max() < 0.02
    torch.testing.assert_close(result[1], torch.tensor([0.5, 0.5, 0.9]), rtol=0, atol=1e-4)


def lower_median(window: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sort(window, axis=0)[(len(window) - 1) // 2])


def naive_swap(video: NDArray[np.float64], row: int, other: int, mode: str) -> NDArray[np.float64]:
    own, new = lower_median(video[row]), lower_median(video[other])
    if mode == "add":
        return np.asarray((video[row] - own + new).clip(0, 1))
    far = np.abs(video[row] - own).max(axis=1, keepdims=True)
    weight = 1 / (1 + np.exp(-(far - 0.08) / 0.02))
    return np.asarray(weight * video[row] + (1 - weight) * new)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("frames", [2, 3, 8])
@pytest.mark.parametrize("mode", ["add", "mask"])
def test_a_swap_is_that_of_a_calculation_in_numpy(mode: str, frames: int, dtype: torch.dtype) -> None:
    numbers = np.random.default_rng(frames).integers(60, 120, (5, frames, 3, 6, 7))  # near their median and far
    bytes_ = torch.from_numpy(numbers.astype(np.uint8))
    video = bytes_ if dtype == torch.uint8 else bytes_.to(dtype) / 255
    before, config = video.clone(), augmentation(static_swap={"probability": 1.0, "mode": mode})
    draws = [draw(config, key) for key in keys(5)]
    result = augment(video, config, keys(5))
    assert torch.equal(video, before)
    assert result.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    for row, other in enumerate(partners(draws)):
        expected = naive_swap(numbers / 255, row, other, mode)
        np.testing.assert_allclose(result[row].numpy(), expected, rtol=0, atol=1e-5)


def test_a_swap_takes_the_background_and_leaves_what_moves() -> None:
    """Two gray backgrounds, each with a white dot that moves to the right."""
    video = torch.zeros(2, 5, 3, 4, 5, dtype=torch.uint8)
    video[0], video[1] = 40, 90
    for frame in range(5):
        video[0, frame, :, 1, frame] = 255
        video[1, frame, :, 3, frame] = 255
    masked, added = (
        augment(video, augmentation(static_swap={"probability": 1.0, "mode": mode}), keys(2)).mul(255)
        for mode in ("mask", "add")
    )
    expected = torch.full((5, 3, 4, 5), 90.0)
    for frame in range(5):
        expected[frame, :, 1, frame] = 255
    torch.testing.assert_close(masked[0], expected, rtol=0, atol=1.0)  # 1 / (1 + exp(4)) of 50
    torch.testing.assert_close(added[0], expected, rtol=0, atol=1e-3)


def test_a_partner_is_a_function_of_the_windows_own_draw_and_of_the_batchs_size() -> None:
    config = augmentation(static_swap=1.0)
    draws = [draw(config, (0, index)) for index in range(700)]
    seen = np.zeros((7, 7), int)
    for start in range(0, 700, 7):
        some = draws[start : start + 7]
        for row, other in enumerate(partners(some)):
            assert other == (row + 1 + int(some[row].partner * 6)) % 7
            seen[row, other] += 1
    assert not seen.diagonal().any()
    others = seen[~np.eye(7, dtype=bool)]
    assert others.min() > 0
    assert ((others - 100 / 6) ** 2 / (100 / 6)).sum() < chi2.ppf(0.999, 35)
    assert partners(draws[:1]) == [0]
    assert partners(draws[:2]) == [1, 0]
    assert partners([]) == []
    assert partners([Draw(swap="add", partner=1 - 2**-53)] * 4) == [3, 0, 1, 2]


def test_a_window_in_another_batch_keeps_its_draw_and_takes_the_partner_of_that_batch() -> None:
    video, config, names = pixels(6, 4), augmentation(static_swap=1.0), keys(6)
    together = augment(video, config, names)
    assert torch.equal(augment(video, config, names), together)
    order = [4, 2, 0, 5]
    mixed = augment(video[order], config, [names[index] for index in order])
    some = [draw(config, names[index]) for index in order]
    for place, other in enumerate(partners(some)):
        expected = naive_swap(video.numpy() / 255, order[place], order[other], "add")
        np.testing.assert_allclose(mixed[place].numpy(), expected, rtol=0, atol=1e-5)


def test_only_drawn_windows_are_swapped_and_others_keep_every_bit() -> None:
    video, config = pixels(20, 4), augmentation(static_swap=0.5)
    result = augment(video, config, keys(20))
    swapped = torch.tensor([draw(config, key).swap is not None for key in keys(20)])
    assert {True, False} == set(swapped.tolist())
    assert torch.equal(result[~swapped], video[~swapped] / 255)
    assert (result[swapped] != video[swapped] / 255).flatten(1).any(1).all()


@pytest.mark.parametrize("mode", ["add", "mask"])
def test_nothing_is_swapped_in_a_batch_of_one_window_and_in_windows_of_one_frame(mode: str) -> None:
    config = augmentation(static_swap={"probability": 1.0, "mode": mode})
    for video in (pixels(1, 4), pixels(3, 1), pixels(0, 4)):
        assert torch.equal(augment(video, config, keys(len(video))), video / 255)


def test_what_is_swapped_is_cropped_moved_and_coloured_as_one_picture() -> None:
    config = augmentation(static_swap=1.0, crop=1.0, flip=0.5, shift=1.0, rotation=1.0, color_jitter=1.0, blur=1.0)
    video, size = pixels(6, 4, 14, 20), (9, 12)
    draws = [draw(config, key, 12 * 14 / (9 * 20)) for key in keys(6)]
    swapped = transform(video, [Draw(swap=one.swap, partner=one.partner) for one in draws])
    expected = transform(swapped, [one._replace(swap=None) for one in draws], size)
    torch.testing.assert_close(augment(video, config, keys(6), size), expected, rtol=0, atol=1e-6)
