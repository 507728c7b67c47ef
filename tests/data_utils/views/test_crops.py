"""Which rectangle of a frame becomes the model's frame, and its pixels: against loops and against torchvision."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import resized_crop

from config.augmentation import Crop
from data_utils.views.crops import Box, Move, Size, drawn_box, fixed_boxes, relative_aspect, resample

FRAME: Size = (20, 36)


def crop(scale: tuple[float, float], ratio: tuple[float, float]) -> Crop:
    return Crop(probability=1.0, scale=list(scale), ratio=list(ratio))


def pixel_box(left: int, top: int, width: int, height: int, frame: Size = FRAME) -> Box:
    return Box(left / frame[1], top / frame[0], width / frame[1], height / frame[0])


def random_video(windows: int = 3, frame: Size = FRAME) -> Tensor:
    return torch.rand(windows, 2, 3, *frame, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def smooth_video(frame: Size) -> Tensor:
    """Waves of 25 pixels and more: nothing that shrinking by 4 could turn into another pattern."""
    y, x = (torch.arange(length, dtype=torch.float64) for length in frame)
    waves = [torch.sin(x / 5 + y[:, None] / 7), torch.cos(x / 9 - y[:, None] / 5), torch.sin(y[:, None] / 8 + 0 * x)]
    return (torch.stack(waves) / 2 + 0.5)[None, None]


# ----------------------------------------------------------------------------------------------------------- boxes


def test_frames_of_the_same_shape_have_an_aspect_of_exactly_one() -> None:
    for height, width in ((128, 171), (36, 36), (7, 3)):
        assert relative_aspect((height, width), (height, width)) == 1.0
        assert relative_aspect((3 * height, 3 * width), (height, width)) == 1.0
    assert relative_aspect((100, 200), (50, 50)) == 0.5


@pytest.mark.parametrize("frame", [(128, 171), (240, 100), (64, 64)])
@pytest.mark.parametrize(("scale", "ratio"), [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.6, 1.0), (0.3, 3.0))])
def test_drawn_boxes_are_distributed_as_torchvisions(
    frame: Size, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    height, width = frame
    generator = np.random.default_rng(0)
    aspect = relative_aspect(frame, (112, 112))
    mine = np.array([drawn_box(crop(scale, ratio), aspect, generator) for _ in range(1500)])
    mine *= [width, height, width, height]
    torch.manual_seed(0)
    picture = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(picture, scale, ratio) for _ in range(1500)])
    top, left, high, wide = theirs.T
    measured = {
        "area": (mine[:, 2] * mine[:, 3], high * wide),
        "ratio": (mine[:, 2] / mine[:, 3], wide / high),
        "left": (mine[:, 0], left),
        "top": (mine[:, 1], top),
    }
    jitter = np.random.default_rng(1).uniform(-0.5, 0.5, 1500)  # theirs are whole pixels
    for name, (own, other) in measured.items():
        step = jitter if name in ("left", "top") else 0.0
        assert ks_2samp(np.round(own) + step if name in ("left", "top") else own, other + step).pvalue > 1e-3, name


def test_a_ratio_of_one_keeps_the_shape_of_things_whatever_the_models_frame() -> None:
    generator = np.random.default_rng(0)
    for size in ((112, 112), (64, 160), (90, 30)):
        for _ in range(50):
            box = drawn_box(crop((0.1, 0.3), (1.0, 1.0)), relative_aspect(FRAME, size), generator)
            if max(box.width, box.height) < 1:
                assert box.width * FRAME[1] / (box.height * FRAME[0]) == pytest.approx(size[1] / size[0])


def test_a_crop_that_never_fits_is_the_largest_of_the_nearest_ratio_in_the_middle() -> None:
    generator = np.random.default_rng(0)
    box = drawn_box(crop((1.0, 1.0), (1.0, 1.0)), relative_aspect(FRAME, (8, 8)), generator)
    assert box == pytest.approx((8 / 36, 0, 20 / 36, 1))
    box = drawn_box(crop((1.0, 1.0), (0.5, 1.5)), relative_aspect(FRAME, (8, 8)), generator)
    assert box == pytest.approx((3 / 36, 0, 30 / 36, 1))
    box = drawn_box(crop((1.0, 1.0), (0.5, 1.5)), relative_aspect((36, 20), (8, 8)), generator)
    assert box == pytest.approx((0, 0, 1, 1))  # 20/36 is a ratio that may be drawn
    box = drawn_box(crop((1.0, 1.0), (0.8, 1.5)), relative_aspect((36, 20), (8, 8)), generator)
    assert box == pytest.approx((0, 5.5 / 36, 1, 25 / 36))


def test_fixed_boxes() -> None:
    assert fixed_boxes((20, 36), (10, 10), "centre") == [pixel_box(8, 0, 20, 20)]
    assert fixed_boxes((36, 20), (10, 10), "centre") == [pixel_box(0, 8, 20, 20, (36, 20))]
    assert fixed_boxes((20, 36), (10, 10), "resize") == [Box(0, 0, 1, 1)]
    left, middle, right = (pixel_box(corner, 0, 20, 20) for corner in (0, 8, 16))
    assert fixed_boxes((20, 36), (10, 10), "three") == [middle, left, right]
    top, middle, bottom = (pixel_box(0, corner, 20, 20, (36, 20)) for corner in (0, 8, 16))
    assert fixed_boxes((36, 20), (10, 10), "three") == [middle, top, bottom]
    for crop_name in ("centre", "three"):
        assert fixed_boxes((20, 36), (10, 18), crop_name) == [Box(0, 0, 1, 1)]
    # The longer side is the one that the model's frame has less of.
    left, middle, right = (pixel_box(corner, 0, 5, 20) for corner in (0, 15, 31))
    assert fixed_boxes((20, 36), (40, 10), "three") == [middle, left, right]
    top, middle, bottom = (pixel_box(0, corner, 36, 9) for corner in (0, 5, 11))
    assert fixed_boxes((20, 36), (10, 40), "three") == [middle, top, bottom]
    assert fixed_boxes((2, 1000), (1000, 2), "centre")[0].width == 1 / 1000


# ---------------------------------------------------------------------------------------------------------- pixels


def naive_pixel(picture: np.ndarray[tuple[int, int], np.dtype[np.float64]], y: float, x: float) -> float:
    """Bilinear between the centres of pixels; the border repeats."""
    height, width = picture.shape
    y, x = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
    row, column = int(y), int(x)
    below, right = min(row + 1, height - 1), min(column + 1, width - 1)
    upper = picture[row, column] * (1 - x + column) + picture[row, right] * (x - column)
    lower = picture[below, column] * (1 - x + column) + picture[below, right] * (x - column)
    return float(upper * (1 - y + row) + lower * (y - row))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("box", "size", "points"),
    [
        (Box(0.1, 0.2, 0.6, 0.5), (12, 30), (1, 1)),
        (Box(0.0, 0.0, 1.0, 1.0), (5, 30), (4, 1)),
        (Box(0.2, 0.1, 0.7, 0.9), (9, 7), (2, 4)),
        (Box(0.0, 0.1, 0.4, 0.7), (10, 10), (1, 1)),
        (Box(0.0, 0.0, 0.5, 0.75), (10, 12), (2, 2)),
    ],
)
def test_pixels_are_the_means_of_a_loop_over_points(box: Box, size: Size, points: tuple[int, int], flip: bool) -> None:
    video = random_video(1)
    result = resample(video, [box], [flip], size)
    assert result.shape == (1, 2, 3, *size)
    picture = video[0, 1, 2].numpy()
    for row, column in ((0, 0), (1, 3), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 2)):
        values = []
        for down in range(points[0]):
            for across in range(points[1]):
                y = FRAME[0] * (box.top + box.height * (row + (down + 0.5) / points[0]) / size[0])
                share = (column + (across + 0.5) / points[1]) / size[1]
                x = FRAME[1] * (box.left + box.width * (1 - share if flip else share))
                values.append(naive_pixel(picture, y, x))
        assert float(result[0, 1, 2, row, column]) == pytest.approx(np.mean(values), abs=1e-12)


def mirrored(place: float, length: int) -> float:
    """A place on an axis whose ends, 0 and `length`, are mirrors."""
    place %= 2 * length
    return 2 * length - place if place > length else place


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("box", [Box(0.0, 0.0, 1.0, 1.0), Box(0.3, 0.25, 0.6, 0.75), Box(0.4, 0.4, 0.1, 0.2)])
@pytest.mark.parametrize(
    "move", [Move(2.3, -1.7), Move(0.0, 0.0, 12.0), Move(-3.0, 4.25, -30.0), Move(30.0, 0.0), Move(0.0, 0.0, 180.0)]
)
@pytest.mark.parametrize("size", [(20, 36), (7, 9), (30, 15)])
def test_moved_pixels_are_those_of_a_loop_in_complex_numbers(box: Box, move: Move, size: Size, flip: bool) -> None:
    video = random_video(1)
    result = resample(video, [box], [flip], size, [move])
    picture, (height, width) = video[0, 1, 2].numpy(), FRAME
    points = [
        max(1, int(share * n / m + 0.5)) for share, n, m in zip((box.height, box.width), FRAME, size, strict=True)
    ]
    for row, column in ((0, 0), (1, 3), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 2)):
        values = []
        for down in range(points[0]):
            for across in range(points[1]):
                place = complex(column + (across + 0.5) / points[1], row + (down + 0.5) / points[0])
                place -= complex(move.right, move.down) + complex(size[1], size[0]) / 2
                place *= cmath.exp(-1j * math.radians(move.degrees))
                x = width * (box.left + box.width * (0.5 + (-1 if flip else 1) * place.real / size[1]))
                y = height * (box.top + box.height * (0.5 + place.imag / size[0]))
                values.append(naive_pixel(picture, mirrored(y, height), mirrored(x, width)))
        assert float(result[0, 1, 2, row, column]) == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize(
    ("size", "tolerance"),
    [((56, 72), 1e-6), ((90, 130), 1e-6), ((40, 52), 0.012), ((30, 41), 0.012), ((20, 25), 0.025), ((14, 18), 0.025)],
)
def test_pixels_are_those_of_torchvisions_resized_crop(size: Size, tolerance: float) -> None:
    frame, (left, top, width, height) = (64, 96), (10, 4, 72, 56)
    video = smooth_video(frame)
    result = resample(video, [pixel_box(left, top, width, height, frame)], [False], size)[0, 0]
    expected = resized_crop(video[0, 0], top, left, height, width, list(size), antialias=True)
    inner = (slice(None), slice(2, -2), slice(2, -2))  # it sees nothing outside the rectangle
    assert (result - expected)[inner].abs().max() < tolerance


@pytest.mark.parametrize("shrunk", [2.3, 3.0, 4.2])
def test_shrinking_makes_no_patterns_of_what_is_too_fine_to_be_seen(shrunk: float) -> None:
    wave = 0.5 + 0.5 * torch.sin(2 * math.pi * torch.arange(240.0) / (1.3 * shrunk))
    size = (round(60 / shrunk), round(240 / shrunk))
    result = resample(wave.expand(1, 1, 3, 60, 240), [Box(0, 0, 1, 1)], [False], size)
    plain = wave[(shrunk * (torch.arange(size[1]) + 0.5)).long().clamp(max=239)]
    assert result.std() < 0.6 * plain.std()
    torch.testing.assert_close(result.mean(), wave.mean(), rtol=0, atol=0.02)


def test_a_rectangle_of_as_many_pixels_is_copied_or_mirrored() -> None:
    pixels = (random_video(1, (20, 37)) * 255).to(torch.uint8)
    for top, left in ((0, 0), (3, 11), (4, 1)):
        box = Box(left / 37, top / 20, 24 / 37, 16 / 20)
        expected = pixels[..., top : top + 16, left : left + 24]
        for flip in (False, True):
            result = resample(pixels.float().div(255), [box], [flip], (16, 24)).mul(255)
            assert torch.equal(result.round().to(torch.uint8), expected.flip(-1) if flip else expected)
            torch.testing.assert_close(result, (expected.flip(-1) if flip else expected).float(), rtol=0, atol=1e-3)


def test_a_window_is_the_same_in_every_batch() -> None:
    video = random_video(6)
    boxes = [Box(0, 0, 1, 1), Box(0.1, 0.2, 0.3, 0.3), Box(0, 0, 0.9, 0.6), Box(0.5, 0.5, 0.5, 0.5)]
    boxes += [Box(0, 0, 1, 0.4), Box(0.2, 0.2, 0.8, 0.8)]
    flips = [False, True, True, False, False, True]
    moves = [Move(), Move(1.5), Move(), Move(0.0, -2.0, 9.0), Move(), Move(degrees=30.0)]
    for its in ([Move()] * 6, moves):
        together = resample(video, boxes, flips, (6, 9), its)
        for index in range(6):
            one = slice(index, index + 1)
            assert torch.equal(resample(video[one], boxes[one], flips[one], (6, 9), its[one])[0], together[index])
        assert torch.equal(resample(video[2:4], boxes[2:4], flips[2:4], (6, 9), its[2:4]), together[2:4])
    still = [0, 2, 4]
    assert torch.equal(together[still], resample(video, boxes, flips, (6, 9))[still])
    assert resample(video[:0], [], [], (6, 9)).shape == (0, 2, 3, 6, 9)
