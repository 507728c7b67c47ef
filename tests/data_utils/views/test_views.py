from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from config.augmentation import Augmentation
from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.views.augment import augment, draw
from data_utils.views.crops import EvalCrop, fixed_boxes
from data_utils.views.normalise import normalise
from data_utils.views.views import (
    TrainingViews,
    View,
    crops_per_window,
    evaluation_views,
    make_views,
    middle_view,
    time_indices,
)

LENGTH = 6
STRONG = """augmentation={crop: {probability: 0.7, scale: [0.3, 0.6], ratio: [0.8, 1.25]}, flip: 0.5,
 color_jitter: {probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1}, grayscale: 0.2,
 blur: {probability: 0.5, sigma: [0.1, 2.0]}}"""
NOTHING = STRONG.replace("0.7,", "0.0,").replace("flip: 0.5", "flip: 0.0").replace("grayscale: 0.2", "grayscale: 0.0")
NOTHING = NOTHING.replace("probability: 0.8", "probability: 0.0").replace("probability: 0.5", "probability: 0.0")


@pytest.fixture
def config(tiny_config: Callable[..., Config]) -> Config:
    return tiny_config(STRONG, "mean=[0.4, 0.5, 0.6]", "std=[0.2, 0.25, 0.3]")


def window_of(rows: list[int], firsts: list[int]) -> Batch:
    """Random pixels, but every frame's first one is its position in the video."""
    pixels = np.random.default_rng(rows[:1] + firsts[:1]).integers(0, 256, (len(rows), LENGTH, 3, 16, 24), np.uint8)
    frames = np.array(firsts, np.int64)[:, None] + 2 * np.arange(LENGTH)
    pixels[..., 0, 0] = frames[:, :, None]
    return Batch(torch.from_numpy(pixels), torch.tensor(rows), torch.from_numpy(frames), [])


@pytest.fixture
def batch() -> Batch:
    """Eight windows of four videos, and another window for each."""
    rows = [0, 3, 3, 2, 0, 9, 9, 2]
    other = window_of(rows, [50, 60, 70, 80, 90, 100, 110, 120])
    return replace(window_of(rows, [0, 5, 30, 7, 40, 0, 12, 1]), other=other)


def part(batch: Batch, numbers: list[int]) -> Batch:
    other = part(batch.other, numbers) if batch.other else None
    tensors = (batch.video_BTCHW[numbers], batch.row_B[numbers], batch.frames_BT[numbers])
    return Batch(*tensors, batch.failed, other)


def same(first: TrainingViews, second: TrainingViews) -> list[bool]:
    """Whether the views are equal, view by view."""
    both = zip(first.videos, second.videos, first.frames, second.frames, strict=True)
    return [torch.equal(a, b) and torch.equal(c, d) for a, b, c, d in both]


def test_a_plain_view_is_the_window_normalised(batch: Batch, config: Config) -> None:
    views = make_views(batch, (View(), View(window=1)), config, config.seed, epoch=4)
    assert batch.other is not None
    for video, frames, source in zip(views.videos, views.frames, (batch, batch.other), strict=True):
        assert torch.equal(video, normalise(source.video_BTCHW, *config.pixels))
        assert torch.equal(frames, source.frames_BT)
    assert torch.equal(views.rows_B, batch.row_B)


def test_an_augmentation_that_does_nothing_changes_no_bit(
    batch: Batch, config: Config, tiny_config: Callable[..., Config]
) -> None:
    nothing = tiny_config(NOTHING).augmentation
    views = make_views(batch, (View(), View(augmentation=nothing)), config, config.seed, epoch=0)
    assert torch.equal(views.videos[0], views.videos[1])


def test_views_are_augmented_and_normalised_by_seed_epoch_row_first_frame_and_number(
    batch: Batch, config: Config
) -> None:
    looks = (View(), View(0, config.augmentation), View(1, config.augmentation))
    views = make_views(batch, looks, config, config.seed, epoch=5)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in config.pixels)
    firsts = batch.frames_BT[:, 0].tolist()
    assert batch.other is not None
    for number, source in ((1, batch), (2, batch.other)):
        keys = [(config.seed, 5, row, first, number) for row, first in zip(batch.row_B.tolist(), firsts, strict=True)]
        expected = (augment(source.video_BTCHW, config.augmentation, keys) - mean) / std
        assert ((views.videos[number] - expected).abs() <= 0.501 / 255 / std).all()  # what rounding to pixels costs
        assert torch.equal(views.frames[number], source.frames_BT)
        assert not views.videos[number].requires_grad
        assert views.videos[number].dtype == torch.float32


def test_what_a_window_gets_does_not_depend_on_its_batch(batch: Batch, config: Config) -> None:
    looks = (View(0, config.augmentation), View(1, config.augmentation), View(0, config.augmentation, (0.3, 0.8)))
    whole = make_views(batch, looks, config, config.seed, epoch=2)
    for numbers in ([3], [7, 2, 0], [1, 2, 3, 4, 5]):
        some = make_views(part(batch, numbers), looks, config, config.seed, epoch=2)
        for video, all_videos, frames, all_frames in zip(
            some.videos, whole.videos, some.frames, whole.frames, strict=True
        ):
            levels = (video - all_videos[numbers]) * torch.tensor(config.pixels[1]).view(3, 1, 1) * 255
            # Sums may be in another order; a pixel between two levels may then go either way.
            assert levels.abs().max() < 1.01
            assert (levels.abs() > 0.01).float().mean() < 1e-3
            assert torch.equal(frames, all_frames[numbers])


def test_draws_change_with_seed_epoch_row_first_frame_and_number(batch: Batch, config: Config) -> None:
    certain = Augmentation(**{**config.augmentation.model_dump(), "crop": {**config.augmentation.crop.model_dump()}})
    look = View(0, certain.model_copy(update={"crop": certain.crop.model_copy(update={"probability": 1.0})}))
    views = make_views(batch, (look, look), config, config.seed, epoch=2)
    assert same(views, make_views(batch, (look, look), config, config.seed, epoch=2)) == [True, True]
    assert same(views, make_views(batch, (look, look), config, config.seed, epoch=3)) == [False, False]
    assert same(views, make_views(batch, (look, look), config, config.seed + 1, epoch=2)) == [False] * 2
    assert (views.videos[0] != views.videos[1]).flatten(1).any(dim=1).all()
    pixels = batch.video_BTCHW[:1].expand(8, -1, -1, -1, -1)  # the same pixels everywhere: only the draws differ
    equal = make_views(replace(batch, video_BTCHW=pixels), (look,), config, config.seed, epoch=2).videos[0]
    assert len({video.numpy().tobytes() for video in equal}) == 8


def test_another_window_must_be_there(batch: Batch, config: Config) -> None:
    with pytest.raises(ValueError, match="second_window"):
        make_views(replace(batch, other=None), (View(), View(window=1)), config, config.seed, epoch=0)


def test_a_time_scale_takes_the_nearest_frames_and_names_them(batch: Batch, config: Config) -> None:
    views = make_views(batch, (View(0, None, (0.3, 0.6)), View(1, None, (0.3, 0.6))), config, config.seed, epoch=0)
    for number, source in enumerate((batch, batch.other)):
        assert source is not None
        frames = views.frames[number]
        assert frames.shape == (8, LENGTH)
        assert frames.dtype == torch.int64
        shown = views.videos[number][:, :, :, 0, 0] * torch.tensor(config.pixels[1]) + torch.tensor(config.pixels[0])
        assert torch.equal((shown * 255).round().long(), frames[:, :, None].expand(-1, -1, 3))
        assert ((frames >= source.frames_BT[:, :1]) & (frames <= source.frames_BT[:, -1:])).all()
        assert (frames.diff(dim=1) >= 0).all()
        assert (frames[:, -1] - frames[:, 0] <= 2 * (0.6 * (LENGTH - 1) + 1)).all()
    assert not torch.equal(views.frames[0] - batch.frames_BT[:, :1], views.frames[1] - batch.frames_BT[:, :1] - 50)


@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_time_indices_are_the_nearest_of_an_even_spread(length: int) -> None:
    assert time_indices(length, (1.0, 1.0), (3,)).tolist() == list(range(length))
    assert len(set(time_indices(length, (0.0, 0.0), (3,)).tolist())) == 1
    seen: set[int] = set()
    for key in range(400):
        indices = time_indices(length, (0.25, 0.5), (key,))
        assert len(indices) == length
        assert time_indices(length, (0.25, 0.5), (key,)).tolist() == indices.tolist()
        assert np.array_equal(indices, np.sort(indices))
        # Some even spread of an allowed span lies within half a frame of all of them.
        spans = np.linspace(0.25, 0.5, 101) * (length - 1)
        spreads = np.linspace(np.zeros_like(spans), spans, length)
        offsets = indices[:, None] - spreads
        assert (np.ptp(offsets, axis=0) <= 1 + 1e-9).any()
        seen |= set(indices.tolist())
    assert seen == set(range(length))


def test_spans_are_uniform() -> None:
    spans = [np.ptp(time_indices(1001, (0.2, 0.7), (1, key))) / 1000 for key in range(1000)]
    assert 0.2 - 1e-3 <= min(spans) < 0.21
    assert 0.69 < max(spans) <= 0.7 + 1e-3
    assert abs(np.mean(spans) - 0.45) < 4 * 0.5 / np.sqrt(12 * 1000)


def test_a_batch_of_which_nothing_could_be_read(config: Config) -> None:
    empty = Batch(
        torch.empty((0, 6, 3, 16, 24), dtype=torch.uint8),
        torch.empty(0).long(),
        torch.empty(0, 6).long(),
        [(1, "gone")],
    )
    looks = (View(), View(1, config.augmentation, (0.5, 0.7)))
    views = make_views(replace(empty, other=empty), looks, config, config.seed, epoch=0)
    assert [video.shape for video in views.videos] == [(0, 6, 3, 16, 24)] * 2
    assert [frames.shape for frames in views.frames] == [(0, 6)] * 2


@pytest.mark.parametrize("wrong", [{"window": 2}, {"time_scale": (0.5, 1.1)}, {"time_scale": (0.7, 0.5)}])
def test_views_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"window 2|not part of"):
        View(**wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- load_size and eval_crop


@pytest.fixture
def wide_batch() -> Batch:
    """Five windows of 20x60 pixels that show where they are: red across, green down, blue the frame's number."""
    video = torch.zeros(5, LENGTH, 3, 20, 60, dtype=torch.uint8)
    video[:, :, 0] = 4 * torch.arange(60, dtype=torch.uint8)
    video[:, :, 1] = 10 * torch.arange(20, dtype=torch.uint8)[:, None]
    frames = torch.arange(5)[:, None] + torch.arange(LENGTH)
    video[:, :, 2] = frames[:, :, None, None].to(torch.uint8)
    batch = Batch(video, torch.tensor([4, 1, 1, 0, 7]), frames, [])
    return replace(batch, other=replace(batch, frames_BT=frames + 100))


def as_pixels(video: torch.Tensor, config: Config) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in config.pixels)
    return (video * std + mean) * 255


@pytest.mark.parametrize("eval_crop", ["centre", "unscaled", "resize", "three"])
def test_what_nothing_is_drawn_for_is_what_evaluation_sees_first(
    eval_crop: EvalCrop, wide_batch: Batch, tiny_config: Callable[..., Config]
) -> None:
    keys = (NOTHING, "load_size=[20,60]", f"eval_crop={eval_crop}")
    config = tiny_config(*keys)
    evaluated = evaluation_views(wide_batch, config, "cpu").video_BTCHW[:: crops_per_window(config)]
    views = make_views(wide_batch, (View(), View(1), View(0, config.augmentation)), config, config.seed, epoch=3)
    for video in views.videos:
        assert video.shape == (5, LENGTH, 3, 16, 24)
        assert torch.equal(video, evaluated)
    assert torch.equal(evaluated, normalise(middle_view(wide_batch.video_BTCHW, config), *config.pixels))
    some = tiny_config(*keys, "augmentation.crop.probability=0.5", "augmentation.flip=0.5")
    rows, firsts = wide_batch.row_B.tolist(), wide_batch.frames_BT[:, 0].tolist()
    undrawn = {
        (epoch, index)
        for epoch in range(8)
        for index, (row, first) in enumerate(zip(rows, firsts, strict=True))
        if draw(some.augmentation, (some.seed, epoch, row, first, 0)) == draw(config.augmentation, (0,))
    }
    assert 0 < len(undrawn) < 40
    for epoch in range(8):
        (video,) = make_views(wide_batch, (View(0, some.augmentation),), some, some.seed, epoch).videos
        for index in range(5):
            assert torch.equal(video[index], evaluated[index]) == ((epoch, index) in undrawn)


@pytest.mark.parametrize(
    ("eval_crop", "lefts", "shown"), [("centre", [15], 30), ("resize", [0], 60), ("three", [15, 0, 30], 30)]
)
def test_evaluation_crops_are_windows_of_their_own(
    eval_crop: str, lefts: list[int], shown: int, wide_batch: Batch, tiny_config: Callable[..., Config]
) -> None:
    config = tiny_config("load_size=[20,60]", f"eval_crop={eval_crop}")
    views = evaluation_views(wide_batch, config, "cpu")
    assert crops_per_window(config) == len(lefts)
    assert views.video_BTCHW.shape == (5 * len(lefts), LENGTH, 3, 16, 24)
    assert views.rows_B.tolist() == [row for row in (4, 1, 1, 0, 7) for _ in lefts]
    assert views.frames_BT.tolist() == [frames for frames in wide_batch.frames_BT.tolist() for _ in lefts]
    pixels = as_pixels(views.video_BTCHW, config)
    torch.testing.assert_close(
        pixels[:, :, 2], views.frames_BT[:, :, None, None].float().expand(-1, -1, 16, 24), rtol=0, atol=1e-3
    )
    for number, left in enumerate(lefts):
        across = 4 * (left + shown * (torch.arange(24) + 0.5) / 24 - 0.5).clamp(0, 59)
        down = 10 * (20 * (torch.arange(16) + 0.5) / 16 - 0.5).clamp(0, 19)
        one = pixels[number :: len(lefts)]
        assert (one[:, :, 0] - across).abs().max() < 3  # where points lie beyond the frame, its border repeats
        assert (one[:, :, 1] - down[:, None]).abs().max() < 0.51


def test_an_unscaled_crop_is_the_middle_of_the_frame_bit_by_bit(
    wide_batch: Batch, tiny_config: Callable[..., Config]
) -> None:
    config = tiny_config("load_size=[20,60]", "eval_crop=unscaled")
    assert crops_per_window(config) == 1
    middle = wide_batch.video_BTCHW[..., 2:18, 18:42]
    assert torch.equal(middle_view(wide_batch.video_BTCHW, config), middle)
    views = evaluation_views(wide_batch, config, "cpu")
    assert torch.equal(views.video_BTCHW, normalise(middle, *config.pixels))


def test_frames_that_are_read_as_the_model_takes_them_keep_every_bit(
    batch: Batch, tiny_config: Callable[..., Config]
) -> None:
    for keys in (
        (),
        ("load_size=[16,24]",),
        ("eval_crop=three",),
        ("eval_crop=unscaled",),
        ("eval_crop=resize", "load_size=[16,24]"),
    ):
        config = tiny_config(*keys)
        assert crops_per_window(config) == 1
        views = evaluation_views(batch, config, "cpu")
        assert torch.equal(views.video_BTCHW, normalise(batch.video_BTCHW, *config.pixels))
        assert torch.equal(views.rows_B, batch.row_B)
        assert middle_view(batch.video_BTCHW, config) is batch.video_BTCHW


def test_drawn_crops_keep_the_shape_of_things(wide_batch: Batch, tiny_config: Callable[..., Config]) -> None:
    overrides = (NOTHING, "load_size=[20,60]", "augmentation.crop={probability: 1.0, ratio: [1.0, 1.0]}")
    config = tiny_config(*overrides, "augmentation.crop.scale=[0.1,0.2]")
    (video,) = make_views(wide_batch, (View(0, config.augmentation),), config, config.seed, epoch=0).videos
    pixels = as_pixels(video, config)
    across = (pixels[:, 0, 0, 8, 20] - pixels[:, 0, 0, 8, 3]) / 17 / 4
    down = (pixels[:, 0, 1, 13, 12] - pixels[:, 0, 1, 2, 12]) / 11 / 10
    torch.testing.assert_close(across, down, rtol=0.05, atol=0)  # source pixels per pixel of the model
    areas = across * down * 16 * 24 / (20 * 60)
    assert ((areas > 0.09) & (areas < 0.22)).all()
    assert len(set(pixels[:, 0, 0, 0, 0].tolist())) == 5
    assert len(fixed_boxes((20, 60), (16, 24), "three")) == 3


def test_an_evaluation_batch_of_which_nothing_could_be_read(tiny_config: Callable[..., Config]) -> None:
    video = torch.empty((0, 6, 3, 20, 60), dtype=torch.uint8)
    empty = Batch(video, torch.empty(0).long(), torch.empty(0, 6).long(), [(1, "gone")])
    config = tiny_config("load_size=[20,60]", "eval_crop=three", STRONG)
    assert evaluation_views(empty, config, "cpu").video_BTCHW.shape == (0, 6, 3, 16, 24)
    looks = (View(), View(0, config.augmentation))
    assert [v.shape for v in make_views(empty, looks, config, config.seed, 0).videos] == [(0, 6, 3, 16, 24)] * 2
