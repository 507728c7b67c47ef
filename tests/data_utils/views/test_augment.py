from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from config.schema import Config
from data_utils.views.augment import Draw, augment, draw, transform
from data_utils.views.crops import Box, Move
from tests.data_utils.views.augment_cases import augmentation, everything, keys, pixels

Pixel = tuple[float, float, float]
PINNED = (
    0.12236491397072789,
    0.021014882349400972,
    0.7299266332769188,
    0.7554022095796886,
)  # a crop that this program has drawn since it could


def test_probabilities_of_zero_change_no_bit_and_cost_no_copy() -> None:
    video = pixels()
    assert torch.equal(augment(video, augmentation(), keys(3)), video.float() / 255)
    floats = video / 255
    assert augment(floats, augmentation(), keys(3)) is floats
    assert draw(augmentation(), (1, 2)) == Draw()


@pytest.mark.parametrize(
    "still",
    [
        {"color_jitter": {"probability": 1.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}},
        {"shift": {"probability": 1.0, "pixels": 0.0}, "rotation": {"probability": 1.0, "degrees": 0.0}},
    ],
)
def test_strengths_of_zero_change_no_bit(still: dict[str, Any]) -> None:
    video = pixels()
    assert torch.equal(augment(video, augmentation(**still), keys(3)), video.float() / 255)


def test_a_flip_is_a_flip() -> None:
    video = pixels()
    assert torch.equal(augment(video, augmentation(flip=1.0), keys(3)), video.flip(-1) / 255)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_frames_that_are_equal_stay_equal_and_the_input_stays_as_it_is(dtype: torch.dtype) -> None:
    video = pixels(12, 1).expand(-1, 5, -1, -1, -1).clone()
    video = video if dtype == torch.uint8 else video.to(dtype) / 255
    before = video.clone()
    result = augment(video, everything(0.5), keys(12))
    assert torch.equal(result, result[:, :1].expand(-1, 5, -1, -1, -1))
    assert torch.equal(video, before)
    assert result.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    assert not torch.allclose(result, video / 255 if dtype == torch.uint8 else video)


def test_a_windows_augmentation_is_the_same_in_every_batch() -> None:
    video, config, names = pixels(24), everything(0.5), keys(24)
    together = augment(video, config, names)
    assert len({draw(config, name) for name in names}) > 20
    for index in range(24):
        alone = augment(video[index : index + 1], config, names[index : index + 1])[0]
        torch.testing.assert_close(alone, together[index], rtol=0, atol=1e-6)  # sums may be in another order
    order = torch.from_numpy(np.random.default_rng(0).permutation(24))[:17]
    mixed = augment(video[order], config, [names[index] for index in order.tolist()])
    torch.testing.assert_close(mixed, together[order], rtol=0, atol=1e-6)


def test_draws_depend_on_their_key_alone() -> None:
    np.random.seed(1)
    first = draw(everything(1.0), (3, 2, 1, 0, 0))
    np.random.seed(2)
    torch.manual_seed(5)
    assert draw(everything(1.0), (3, 2, 1, 0, 0)) == first
    others = [(0, 2, 1, 0, 0), (3, 0, 1, 0, 0), (3, 2, 0, 0, 0), (3, 2, 1, 9, 0), (3, 2, 1, 0, 1)]
    assert len({first, *(draw(everything(1.0), key) for key in others)}) == 6


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("box", [Box(0.2, 0.1, 0.5, 0.7), Box(0.0, 0.0, 1.0, 0.4), Box(0.75, 0.9, 0.25, 0.1)])
def test_a_cropped_ramp_is_a_ramp_with_the_boxs_scale(box: Box, flip: bool) -> None:
    height, width = 10, 16
    x, y = (torch.arange(width).double() + 0.5) / width, (torch.arange(height).double() + 0.5) / height
    picture = torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.zeros(height, width)])
    result = transform(picture.expand(1, 2, 3, height, width), [Draw(box=box, flip=flip)])
    # Beyond the outermost centres the border repeats.
    across = (box.left + box.width * x).clamp(x[0], x[-1])
    down = (box.top + box.height * y).clamp(y[0], y[-1])
    expected = torch.stack([(across.flip(0) if flip else across).expand(height, width), down[:, None].expand(10, 16)])
    torch.testing.assert_close(result[0, :, :2], expected.expand(2, 2, height, width), rtol=0, atol=1e-12)


def test_every_window_gets_its_own_crop() -> None:
    video = pixels(4) / 255
    draws = [Draw(box=Box(0.1 * i, 0.05 * i, 0.6, 0.5), flip=bool(i % 2)) for i in range(3)] + [Draw()]
    together = transform(video, draws)
    for index, one in enumerate(draws):
        assert torch.equal(transform(video[index : index + 1], [one])[0], together[index])
    assert torch.equal(together[3], video[3])
    assert not torch.equal(together[0], video[0])


def luma(pixel: Pixel) -> float:
    return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def turned(pixel: Pixel, hue: float) -> Pixel:
    """The hue turned in YIQ, back to RGB by Cramer's rule."""
    r, g, b = pixel
    y, i, q = luma(pixel), 0.5959 * r - 0.2746 * g - 0.3213 * b, 0.2115 * r - 0.5227 * g + 0.3112 * b
    angle = -2 * math.pi * hue
    i, q = i * math.cos(angle) - q * math.sin(angle), i * math.sin(angle) + q * math.cos(angle)
    rows = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    solved = []
    for column in range(3):
        replaced = rows.copy()
        replaced[:, column] = (y, i, q)
        solved.append(float(np.linalg.det(replaced) / np.linalg.det(rows)))
    return solved[0], solved[1], solved[2]


def away(middle: float, pixel: Pixel, factor: float) -> Pixel:
    r, g, b = (middle + factor * (value - middle) for value in pixel)
    return r, g, b


def naive_colours(pixels_N3: NDArray[np.float64], one: Draw, order: tuple[str, ...]) -> NDArray[np.float64]:
    """The four changes one after the other, pixel by pixel; only the result is cut to [0, 1]."""
    current: list[Pixel] = [(float(r), float(g), float(b)) for r, g, b in pixels_N3]
    for name in order:
        mean = sum(map(luma, current)) / len(current)
        steps: dict[str, Callable[[Pixel, float], Pixel]] = {
            "brightness": lambda p, m: (one.brightness * p[0], one.brightness * p[1], one.brightness * p[2]),
            "contrast": lambda p, m: away(m, p, one.contrast),
            "saturation": lambda p, m: away(luma(p), p, one.saturation),
            "hue": lambda p, m: turned(p, one.hue),
        }
        current = [steps[name](pixel, mean) for pixel in current]
    return np.array(current).clip(0, 1)


@pytest.mark.parametrize("order", list(permutations(("brightness", "contrast", "saturation", "hue")))[::5])
def test_colours_are_those_of_a_calculation_pixel_by_pixel_in_any_order(order: tuple[str, ...]) -> None:
    draws = [
        Draw(brightness=1.3, contrast=0.6, saturation=1.4, hue=0.1),
        Draw(brightness=0.7, contrast=1.5, saturation=0.5, hue=-0.4),
        Draw(saturation=0.0, hue=0.3),
    ]
    video = pixels(3, 2, 4, 5).double() / 255
    result = transform(video, draws)
    for window, one, changed in zip(video, draws, result, strict=True):
        flat = window.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
        expected = naive_colours(flat, one, order)
        np.testing.assert_allclose(changed.permute(0, 2, 3, 1).reshape(-1, 3).numpy(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(transform(video.float(), draws), result.float(), rtol=0, atol=2e-6)


def test_contrast_takes_the_mean_of_the_window_not_of_a_frame() -> None:
    video = torch.zeros(1, 2, 3, 2, 2)
    video[:, 1] = 1.0
    torch.testing.assert_close(transform(video, [Draw(contrast=0.5)])[0, :, 0, 0, 0], torch.tensor([0.25, 0.75]))


def test_grayscale_has_equal_channels_and_keeps_the_luma() -> None:
    video = pixels()
    result = augment(video, augmentation(grayscale=1.0), keys(3))
    assert torch.equal(result[:, :, 0], result[:, :, 1])
    assert torch.equal(result[:, :, 0], result[:, :, 2])
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    torch.testing.assert_close(result[:, :, 0], (video / 255 * weights).sum(2))


def test_hue_turns_red_to_green_to_blue_and_leaves_gray() -> None:
    red = torch.tensor([0.8, 0.3, 0.3], dtype=torch.float64).view(1, 1, 3, 1, 1)
    for hue, brightest in ((1 / 3, 1), (2 / 3, 2), (-1 / 3, 2), (0.99, 0)):
        assert transform(red, [Draw(hue=hue)]).flatten().argmax() == brightest
    gray = torch.full((1, 1, 3, 2, 2), 0.4, dtype=torch.float64)
    torch.testing.assert_close(transform(gray, [Draw(hue=0.3, saturation=1.2)]), gray, rtol=0, atol=1e-12)


def test_blur_is_a_gaussian_whose_weights_outside_the_frame_go_inside() -> None:
    sigmas = [0.4, 1.3, 0.0, 2.5]
    video = pixels(4, 2, 9, 12).double() / 255
    result = transform(video, [Draw(sigma=sigma) for sigma in sigmas])
    inside = np.ones((9, 12))
    for window, changed, sigma in zip(video.numpy(), result.numpy(), sigmas, strict=True):
        if sigma == 0:
            assert np.array_equal(window, changed)
            continue
        for picture, blurred in zip(window.reshape(-1, 9, 12), changed.reshape(-1, 9, 12), strict=True):
            weighted, weights = (gaussian_filter(p, sigma, mode="constant", truncate=40) for p in (picture, inside))
            np.testing.assert_allclose(blurred, weighted / weights, rtol=0, atol=1e-6)  # scipy cuts tails off
    constant = torch.full((1, 1, 3, 9, 12), 0.7)
    torch.testing.assert_close(transform(constant, [Draw(sigma=3.0)]), constant)


def test_draws_have_the_configs_probabilities_and_ranges() -> None:
    config = augmentation(crop=0.7, flip=0.4, color_jitter=0.8, grayscale=0.2, blur=0.3)
    draws = [draw(config, (0, 0, index)) for index in range(2000)]
    shares = {
        0.7: [d.box is not None for d in draws],
        0.4: [d.flip for d in draws],
        0.8: [d.brightness != 1 for d in draws],
        0.2: [d.saturation == 0 for d in draws],
        0.3: [d.sigma > 0 for d in draws],
    }
    for probability, happened in shares.items():
        assert abs(np.mean(happened) - probability) < 4 * math.sqrt(probability * (1 - probability) / 2000)
    correlations = np.corrcoef(np.array(list(shares.values()), float)) - np.eye(5)
    assert np.abs(correlations).max() < 4 / math.sqrt(2000)

    boxes = [d.box for d in draws if d.box is not None]
    jittered = [d for d in draws if d.brightness != 1]
    ranges = {
        (0.3, 0.6): [b.width * b.height for b in boxes],
        (math.log(0.8), math.log(1.25)): [math.log(b.width / b.height) for b in boxes],
        (0.0, 1.0): [b.left / (1 - b.width) for b in boxes],
        (0.0, 1.0 + 1e-12): [b.top / (1 - b.height) for b in boxes],
        (0.6, 1.4): [d.brightness for d in jittered],
        (0.7, 1.3): [d.contrast for d in jittered],
        (0.8, 1.2): [d.saturation for d in jittered if d.saturation],
        (-0.1, 0.1): [d.hue for d in jittered],
        (0.5, 2.0): [d.sigma for d in draws if d.sigma],
    }
    for (low, high), values in ranges.items():
        assert low - 1e-9 <= min(values) <= max(values) <= high + 1e-9
        assert kstest(values, "uniform", (low, high - low)).pvalue > 1e-3, (low, high)


def test_certain_means_always_and_strong_jitter_stays_in_range() -> None:
    strong = {"probability": 1.0, "brightness": 3.0, "contrast": 3.0, "saturation": 3.0, "hue": 0.5}
    config = everything(1.0).model_copy(update={"color_jitter": augmentation(color_jitter=strong).color_jitter})
    draws = [draw(config, (index,)) for index in range(300)]
    assert all(d.box and d.flip and d.sigma and d.saturation == 0 for d in draws)
    assert min(d.brightness for d in draws) >= 0
    coloured = augment(pixels(50), config.model_copy(update={"grayscale": 0.0}), keys(50))
    assert 0 <= coloured.min() < 1e-6
    assert 1 - 1e-6 < coloured.max() <= 1


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [((3.0, 4.0), (0.0, 1 / 3, 1.0, 1 / 3)), ((0.2, 0.5), (0.25, 0.0, 0.5, 1.0)), ((0.5, 2.0), (0.0, 0.0, 1.0, 1.0))],
)
def test_a_crop_that_never_fits_falls_back_to_the_centre(
    ratio: tuple[float, float], expected: tuple[float, float, float, float]
) -> None:
    config = augmentation(crop={"probability": 1.0, "scale": [1.0, 1.0], "ratio": list(ratio)})
    assert draw(config, (0,)).box == pytest.approx(expected)


def test_boxes_lie_inside_the_frame() -> None:
    config = augmentation(crop={"probability": 1.0, "scale": [0.05, 1.0], "ratio": [0.3, 3.0]})
    for index in range(500):
        box = draw(config, (index,)).box
        assert box is not None
        assert min(box.left, box.top) >= 0
        assert 0 < box.width <= 1
        assert max(box.left + box.width, box.top + box.height) <= 1 + 1e-12


def test_autocast_and_gradients_are_kept_out() -> None:
    video = (pixels() / 255).requires_grad_()
    expected = augment(video, everything(1.0), keys(3))
    assert not expected.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(video, everything(1.0), keys(3)), expected)


def test_crops_become_another_size_and_everything_else_is_done_there() -> None:
    video, size, rest = pixels(16, height=20, width=36), (9, 12), Box(0.1, 0.0, 0.8, 1.0)
    config = augmentation(crop=0.5, flip=0.5, color_jitter=0.8, grayscale=0.2, blur=0.5)
    result = augment(video, config, keys(16), size, rest)
    assert result.shape == (16, 2, 3, 9, 12)
    draws = [draw(config, key, 12 * 20 / (9 * 36)) for key in keys(16)]
    assert {one.box is None for one in draws} == {True, False}
    for index, one in enumerate(draws):
        crop = Draw(box=one.box or rest, flip=one.flip)
        small = transform(video[index : index + 1], [crop], size)
        expected = transform(small, [one._replace(box=None, flip=False)])
        torch.testing.assert_close(result[index : index + 1], expected, rtol=0, atol=1e-6)
    plain = augment(video, augmentation(), keys(16), size, rest)
    assert torch.equal(plain, transform(video, [Draw(box=rest)] * 16, size))
    with pytest.raises(ValueError, match="frames of 20x36 become 9x12: every window needs a box"):
        augment(video, config, keys(16), size)


def test_frames_that_keep_their_size_get_what_they_always_got() -> None:
    config = augmentation(crop={"probability": 1.0, "scale": [0.3, 0.6]}, flip=0.5, blur=0.5)
    one = draw(config, (3, 2, 1, 0, 0))
    assert one == draw(config, (3, 2, 1, 0, 0), 1.0)
    assert tuple(one.box or ()) == pytest.approx(PINNED, rel=1e-12)
    video = pixels(4)
    first = augment(video, config, keys(4))
    assert torch.equal(augment(video, config, keys(4), (9, 12), Box(0.1, 0.1, 0.5, 0.5)), first)
    some = augmentation(crop=0.5, flip=0.5)
    uncropped = [index for index, key in enumerate(keys(16)) if draw(some, key) == Draw()]
    assert uncropped
    kept = augment(pixels(16), some, keys(16), (9, 12))
    assert torch.equal(kept[uncropped], pixels(16)[uncropped] / 255)


def test_a_flip_that_is_left_to_the_dataset_and_not_known_is_none() -> None:
    config = augmentation(crop=1.0, flip=None)
    assert not any(draw(config, (index,)).flip for index in range(50))


def test_no_windows_and_wrong_input() -> None:
    assert augment(pixels(0), everything(1.0), []).shape == (0, 2, 3, 9, 12)
    assert augment(pixels(0), everything(1.0), [], (4, 5), Box(0, 0, 1, 1)).shape == (0, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="2 draws for 3 windows"):
        augment(pixels(), everything(1.0), keys(2))
    with pytest.raises(TypeError, match="float16"):
        augment(pixels().half(), everything(1.0), keys(3))


NEW = ("static_swap", "shift", "rotation", "noise")


def test_new_draws_have_the_configs_probabilities_and_ranges() -> None:
    config = augmentation(static_swap=0.7, shift=0.4, rotation=0.8, noise=0.3)
    draws = [draw(config, (0, 0, index)) for index in range(2000)]
    shares = {
        0.7: [d.swap is not None for d in draws],
        0.4: [d.move.right != 0 for d in draws],
        0.8: [d.move.degrees != 0 for d in draws],
        0.3: [d.noise > 0 for d in draws],
    }
    for probability, happened in shares.items():
        assert abs(np.mean(happened) - probability) < 4 * math.sqrt(probability * (1 - probability) / 2000)
    correlations = np.corrcoef(np.array(list(shares.values()), float)) - np.eye(4)
    assert np.abs(correlations).max() < 4 / math.sqrt(2000)
    ranges: list[tuple[float, float, list[float]]] = [
        (0.0, 1.0, [d.partner for d in draws if d.swap]),
        (-2.5, 2.5, [d.move.right for d in draws if d.move.right]),
        (-2.5, 2.5, [d.move.down for d in draws if d.move.right]),
        (-20.0, 20.0, [d.move.degrees for d in draws if d.move.degrees]),
        (0.02, 0.05, [d.noise for d in draws if d.noise]),
        (0.0, 2.0**32, [d.noise_seed for d in draws if d.noise]),
    ]
    for low, high, values in ranges:
        assert low <= min(values) <= max(values) <= high
        assert kstest(values, "uniform", (low, high - low)).pvalue > 1e-3, (low, high)


def test_new_options_leave_the_draws_of_the_others_and_of_each_other_as_they_are() -> None:
    old = {"crop": 0.5, "flip": 0.5, "color_jitter": 0.5, "grayscale": 0.3, "blur": 0.5}
    fields = {"static_swap": ("swap", "partner"), "shift": (), "rotation": (), "noise": ("noise", "noise_seed")}
    first = Draw._fields.index("swap")
    for index in range(40):
        plain = draw(augmentation(**old), (index,))
        full = draw(augmentation(**old, **dict.fromkeys(NEW, 1.0)), (index,))
        assert full[:first] == plain[:first]
        assert plain[first:] == Draw()[first:]
        for name, its in fields.items():
            alone = draw(augmentation(**old, **{name: 1.0}), (index,))
            assert all(getattr(alone, field) == getattr(full, field) for field in its)
        shift, rotation = (draw(augmentation(**old, **{name: 1.0}), (index,)).move for name in ("shift", "rotation"))
        assert full.move == Move(shift.right, shift.down, rotation.degrees)


def test_everything_at_once_at_another_size_as_the_config_file_has_it(tiny_config: Callable[..., Config]) -> None:
    switched = [f"augmentation.{name}.probability=0.5" for name in (*NEW, "crop", "color_jitter", "blur")]
    config = tiny_config(*switched, "augmentation.static_swap.mode=mask", "augmentation.flip=0.5").augmentation
    video = pixels(24, 4, 20, 30)
    result = augment(video, config, keys(24), (8, 10), Box(0.1, 0.0, 0.8, 1.0))
    assert result.shape == (24, 4, 3, 8, 10)
    assert 0 <= result.min() < result.max() <= 1
    assert len({draw(config, key) for key in keys(24)}) == 24
    again = augment(video, config, keys(24), (8, 10), Box(0.1, 0.0, 0.8, 1.0))
    assert torch.equal(again, result)
