"""A bright rectangle is drawn into a video; where a view shows it is where its box must be mapped to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from config.augmentation import Augmentation
from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.video_files.cover import cover
from data_utils.views.crops import Box, Move
from data_utils.views.geometry import Geometry, boxes_in_view
from data_utils.views.normalise import to_pixels
from data_utils.views.views import View, evaluation_views, make_views
from tests.data_utils.views.augment_cases import augmentation

VIDEO = (90, 160)
RECTANGLES = [(30, 20, 70, 60), (60, 40, 110, 75), (90, 30, 120, 50), (50, 10, 90, 40)]
"""x1, y1, x2, y2, pixels of the video's frame."""
EVERYTHING = {"crop": {"probability": 1.0, "scale": [0.5, 1.0], "ratio": [0.7, 1.4]}, "flip": 0.5, "shift": 1.0}
"""What moves pixels; a turn is told apart, as its box is larger than what it holds."""


def shares(rectangle: tuple[int, int, int, int]) -> NDArray[np.float64]:
    return np.array([rectangle], np.float64) / np.array([VIDEO[1], VIDEO[0]] * 2, np.float64)


def batch_of(read: tuple[int, int]) -> Batch:
    """A window for each rectangle, read at `read`."""
    windows = []
    for left, top, right, bottom in RECTANGLES:
        picture = np.zeros((*VIDEO, 3), np.uint8)
        picture[top:bottom, left:right] = 255
        windows.append(np.stack([cover(picture, read)] * 2))
    video = torch.from_numpy(np.stack(windows)).permute(0, 1, 4, 2, 3).contiguous()
    rows = torch.arange(len(windows))
    return Batch(video, rows, torch.zeros(len(windows), 2, dtype=torch.int64), [])


def shown(video_BTCHW: Tensor, window: int, near: NDArray[np.float64], config: Config) -> NDArray[np.float64]:
    """The box around what is bright in the first frame of a window, pixels.

    Of several bright patches it is the one whose box lies nearest: moved frames reflect at their border.
    """
    bright_HW = to_pixels(video_BTCHW[window, 0], *config.pixels).numpy().mean(axis=0) > 127
    patches = ndimage.find_objects(ndimage.label(bright_HW)[0])
    boxes = [np.array([across.start, down.start, across.stop, down.stop], np.float64) for down, across in patches]
    return min(boxes, key=lambda box: float(np.abs(box - near).sum()), default=np.full(4, np.nan))


def view_config(tiny_config: Callable[..., Config], *overrides: str) -> Config:
    return tiny_config("frame_size=[64,96]", "patch_size=8", *overrides)


def compare(
    video_BTCHW: Tensor, geometry: tuple[Geometry, ...], window: int, rectangle: int, config: Config
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The box that is found and the one that is mapped, pixels of the view, and the share of it that is shown."""
    (mapped,), (share,) = boxes_in_view(shares(RECTANGLES[rectangle]), geometry[window], VIDEO)
    mapped = mapped * np.array([96, 64, 96, 64])
    return shown(video_BTCHW, window, mapped, config), mapped, float(share)


@pytest.mark.parametrize("read", [(64, 96), (100, 150), (90, 120)], ids=str)
@pytest.mark.parametrize("epoch", range(6))
def test_boxes_follow_crop_flip_and_shift(
    tiny_config: Callable[..., Config], read: tuple[int, int], epoch: int
) -> None:
    config = view_config(tiny_config, f"load_size={list(read)}")
    looks = (View(augmentation=augmentation(**EVERYTHING)), View())
    views = make_views(batch_of(read), looks, config, 1, epoch)
    for video, geometry in zip(views.videos, views.geometry, strict=True):
        for window in range(len(RECTANGLES)):
            found, mapped, share = compare(video, geometry, window, window, config)
            if share > 0.2:
                np.testing.assert_allclose(found, mapped, atol=1.6)
            if share == 0:
                assert np.isnan(found).all()


@pytest.mark.parametrize("epoch", range(6))
def test_a_turned_box_lies_around_what_it_held(tiny_config: Callable[..., Config], epoch: int) -> None:
    turned: Augmentation = augmentation(**EVERYTHING | {"rotation": {"probability": 1.0, "degrees": 40.0}})
    config = view_config(tiny_config, "load_size=[90,160]")
    views = make_views(batch_of((90, 160)), (View(augmentation=turned),), config, 1, epoch)
    inside = 0
    for window in range(len(RECTANGLES)):
        found, mapped, share = compare(views.videos[0], views.geometry[0], window, window, config)
        if share == 1:  # else the box is that of corners which are not seen
            np.testing.assert_allclose(found, mapped, atol=2.5)
            inside += 1
    assert inside


@pytest.mark.parametrize("eval_crop", ["centre", "unscaled", "resize", "three"])
def test_boxes_follow_what_evaluation_crops(tiny_config: Callable[..., Config], eval_crop: str) -> None:
    config = view_config(tiny_config, "load_size=[90,160]", f"eval_crop={eval_crop}")
    views = evaluation_views(batch_of((90, 160)), config, "cpu")
    assert len(views.geometry) == len(views.rows_B)
    for window, row in enumerate(views.rows_B.tolist()):
        found, mapped, _ = compare(views.video_BTCHW, views.geometry, window, row, config)
        np.testing.assert_allclose(found, mapped, atol=1.6)


def test_what_lies_outside_has_no_area() -> None:
    right_half = Geometry((90, 160), (64, 96), Box(0.5, 0.0, 0.5, 1.0))
    boxes, share = boxes_in_view(np.array([[0.1, 0.1, 0.4, 0.4], [0.4, 0.0, 0.6, 0.5]]), right_half, VIDEO)
    np.testing.assert_allclose(share, [0.0, 0.5])
    np.testing.assert_allclose(boxes[1], [0.0, 0.0, 0.2, 0.5], atol=1e-12)
    assert (boxes[0, 2] - boxes[0, 0]) * (boxes[0, 3] - boxes[0, 1]) == 0
    boxes, share = boxes_in_view(np.zeros((0, 4)), right_half, VIDEO)
    assert (boxes.shape, share.shape) == ((0, 4), (0,))


def test_a_quarter_turn_by_hand() -> None:
    turned = Geometry((100, 100), (100, 100), move=Move(degrees=90.0))
    (box,), (share,) = boxes_in_view(np.array([[0.0, 0.0, 0.5, 0.25]]), turned, (100, 100))
    np.testing.assert_allclose(box, [0.75, 0.0, 1.0, 0.5], atol=1e-12)  # clockwise: the upper left comes to the right
    assert share == pytest.approx(1.0)
