"""Augmentation of windows, batched on their device; every frame of a window gets the same draw, else motion changes.

Random resized crop (Szegedy et al., 2014, arXiv 1409.4842), flip, colour jitter, grayscale and blur, in the order of
SimCLR (Chen et al., 2020, arXiv 2002.05709).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from config.augmentation import Augmentation
from data_utils.crops import Box, Size, drawn_box, like, relative_aspect, resample

# The last word of a generator's seed keeps its stream apart from every other draw, see windows.py.
_AUGMENT = 4
# NTSC's luma and chroma of RGB (1953). A gray pixel has no chroma, so the rows of I and Q sum to 0.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)
_RGB[:, 0] = 1.0  # which it is but for rounding; gray stays gray exactly


class Draw(NamedTuple):
    """What is done to all frames of one window; the defaults do nothing."""

    box: Box | None = None
    """What becomes the whole frame."""
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    """0: grayscale."""
    hue: float = 0.0
    """Turn of the chroma, 1 is the whole circle; red turns towards green."""
    sigma: float = 0.0
    """Standard deviation of the blur, pixels."""

    @property
    def colour(self) -> tuple[float, float, float, float]:
        """Brightness, contrast, saturation and hue."""
        return self.brightness, self.contrast, self.saturation, self.hue


def augment(
    video_BTCHW: Tensor,
    augmentation: Augmentation,
    keys: Sequence[Sequence[int]],
    size: Size | None = None,
    uncropped: Box | None = None,
) -> Tensor:
    """Every window with what is drawn for it, whatever batch it is in.

    Args:
        video_BTCHW: uint8 pixels, or float32 or float64 in [0, 1]; left as it is.
        augmentation: what may be drawn.
        keys: one per window, integers >= 0 such as (seed, epoch, row, first frame, number of the view): what is drawn
            is a pure function of them and of the sizes.
        size: height and width of the result; None: the video's.
        uncropped: what becomes the whole frame where no crop is drawn; needed where `size` is another than the video's.

    Returns:
        The windows at `size` on the same device, in [0, 1]; float32 where the video is uint8.

    Raises:
        TypeError: the video has another dtype.
        ValueError: there are more or fewer keys than windows, or `uncropped` is needed and missing.
    """
    height, width = video_BTCHW.shape[-2:]
    size = size or (height, width)
    aspect = relative_aspect((height, width), size)
    draws = [draw(augmentation, key, aspect) for key in keys]
    return transform(video_BTCHW, [one if one.box else one._replace(box=uncropped) for one in draws], size)


def draw(augmentation: Augmentation, key: Sequence[int], aspect: float = 1.0) -> Draw:
    """What is done to the window with this key: a pure function of the arguments.

    Args:
        augmentation: what may be drawn.
        key: integers >= 0.
        aspect: the `relative_aspect` of the result; 1: it has the shape of the frames that are read.
    """
    crop, jitter, blur = augmentation.crop, augmentation.color_jitter, augmentation.blur
    chances = (crop.probability, augmentation.flip or 0.0, jitter.probability, augmentation.grayscale, blur.probability)
    if not any(chances):
        return Draw()
    generator = np.random.default_rng([*key, _AUGMENT])
    cropped, flipped, jittered, gray, blurred = generator.random(len(chances)) < chances
    result = Draw(box=drawn_box(crop, aspect, generator) if cropped else None, flip=bool(flipped))
    if jittered:
        strengths = np.array([jitter.brightness, jitter.contrast, jitter.saturation])
        factors = generator.uniform(np.maximum(0, 1 - strengths), 1 + strengths).tolist()
        hue = generator.uniform(-jitter.hue, jitter.hue)
        result = result._replace(brightness=factors[0], contrast=factors[1], saturation=factors[2], hue=hue)
    if gray:
        result = result._replace(saturation=0.0)
    return result._replace(sigma=generator.uniform(blur.sigma[0], blur.sigma[1])) if blurred else result


@torch.no_grad()
def transform(video_BTCHW: Tensor, draws: Sequence[Draw], size: Size | None = None) -> Tensor:
    """Every window with its draw, at `size`; see `augment`. Windows for which nothing is drawn keep every bit."""
    if video_BTCHW.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise TypeError(f"expected a video of uint8, float32 or float64, got {video_BTCHW.dtype}")
    if len(draws) != len(video_BTCHW):
        raise ValueError(f"{len(draws)} draws for {len(video_BTCHW)} windows")
    height, width = video_BTCHW.shape[-2:]
    size = size or (height, width)
    boxed = [one.box is not None for one in draws]
    if size != (height, width) and not all(boxed):
        raise ValueError(f"frames of {height}x{width} become {size[0]}x{size[1]}: every window needs a box")
    # The same as video / 255, in half the time on a CPU.
    video = video_BTCHW.float().div_(255) if video_BTCHW.dtype == torch.uint8 else video_BTCHW
    with torch.autocast(video.device.type, enabled=False):  # half precision has fewer levels than a pixel
        # Flips without a crop move pixels as they are; with one, the crop's grid runs backwards.
        video = _some(video, draws, [one.flip and one.box is None for one in draws], _flip)
        if size != (height, width):
            video = _crop(video, draws, size)
        else:
            video = _some(video, draws, boxed, partial(_crop, size=size))
        video = _some(video, draws, [one.colour != Draw().colour for one in draws], _recolour)
        return _some(video, draws, [one.sigma > 0 for one in draws], _blur)


def _some(
    video: Tensor, draws: Sequence[Draw], chosen: Sequence[bool], change: Callable[[Tensor, Sequence[Draw]], Tensor]
) -> Tensor:
    """The video with the chosen windows changed."""
    if not any(chosen):
        return video
    if all(chosen):
        return change(video, draws)
    index = torch.from_numpy(np.flatnonzero(chosen)).to(video.device)
    return video.index_copy(0, index, change(video[index], list(compress(draws, chosen))))


def _flip(video: Tensor, _draws: Sequence[Draw]) -> Tensor:
    return video.flip(-1)


def _crop(video: Tensor, draws: Sequence[Draw], size: Size) -> Tensor:
    return resample(video, [one.box for one in draws if one.box], [one.flip for one in draws], size)


def _recolour(video: Tensor, draws: Sequence[Draw]) -> Tensor:
    """One affine map of RGB per window, cut to [0, 1].

    Brightness multiplies; contrast scales the distance to the window's mean luma; saturation and hue scale and turn
    the chroma. Nothing is cut in between, so the four commute: their order, which others draw too, does not matter.
    """
    brightness, contrast, saturation, hue = np.array([draw.colour for draw in draws]).T
    angle = -2 * np.pi * hue  # the plane of I and Q has blue where the circle of hues has green
    cosine, sine = saturation * np.cos(angle), saturation * np.sin(angle)
    chroma = np.zeros((len(draws), 3, 3))
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1] = chroma[:, 2, 2] = cosine
    chroma[:, 1, 2], chroma[:, 2, 1] = -sine, sine
    matrices = (brightness * contrast)[:, None, None] * (_RGB @ chroma @ _YIQ)
    luma = video.mean(dim=(1, 3, 4)) @ like(video, _YIQ[0])
    offsets = like(video, brightness * (1 - contrast)) * luma
    recoloured = like(video, matrices)[:, None] @ video.flatten(3)
    return recoloured.add_(offsets[:, None, None, None]).clamp_(0, 1).view_as(video)


def _blur(video: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Gaussian blur, rows and columns one after the other; weights outside the frame go to the pixels inside."""
    variances = np.array([draw.sigma for draw in draws])[:, None, None] ** 2
    weights = []
    for size in video.shape[-2:]:
        distances = np.subtract.outer(np.arange(size), np.arange(size))
        gaussian = np.exp(-(distances**2) / (2 * variances))
        weights.append(like(video, gaussian / gaussian.sum(axis=2, keepdims=True))[:, None])
    blurred = weights[0] @ video.flatten(1, 2) @ weights[1].mT
    return blurred.clamp_(0, 1).view_as(video)
