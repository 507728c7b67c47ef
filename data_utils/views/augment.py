"""Augmentation of windows, batched on their device; every frame of a window gets the same draw, else motion changes.

First the static part is swapped, in the frames as they are read. Then random resized crop (Szegedy et al., 2014,
arXiv 1409.4842), flip, turn and shift in one resampling; colour jitter, grayscale and blur in the order of SimCLR (Chen
et al., 2020, arXiv 2002.05709). Noise comes last, so that no blur takes it out again; it alone differs between frames.
What leaves [0, 1] is cut after the swap, after the colours and after the noise.
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
from data_utils.views.crops import STILL, Box, Move, Size, drawn_box, like, relative_aspect, resample
from data_utils.views.static_swap import SwapMode, static_part, swap_static
from parallel import batch_share

# The last word of a generator's seed keeps its stream apart from every other draw, see windows.py.
_AUGMENT = 4
# NTSC's luma and chroma of RGB (1953). A gray pixel has no chroma, so the rows of I and Q sum to 0.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)
_RGB[:, 0] = 1.0  # which it is but for rounding; gray stays gray exactly


class Draw(NamedTuple):
    """The changes to all frames of one window; the defaults change nothing."""

    box: Box | None = None
    """The part of the frame that becomes the whole frame."""
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    """0: grayscale."""
    hue: float = 0.0
    """Turn of the chroma, 1 is the whole circle; red turns towards green."""
    sigma: float = 0.0
    """Standard deviation of the blur, pixels."""
    swap: SwapMode | None = None
    """How the static part is exchanged for that of another window of the batch."""
    partner: float = 0.0
    """In [0, 1): which of the others that is, see `partners`."""
    move: Move = STILL
    """Turn and shift of what crop and flip make."""
    noise: float = 0.0
    """Standard deviation of the noise, of pixels in [0, 1]."""
    noise_seed: int = 0

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
    """Every window with what is drawn for it, which is the same in every batch.

    Only whose static part it gets depends on the batch, see `partners`.

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
    return transform(video_BTCHW, draw_all(augmentation, keys, (height, width), size, uncropped), size)


def draw_all(
    augmentation: Augmentation, keys: Sequence[Sequence[int]], source: Size, size: Size, uncropped: Box | None = None
) -> list[Draw]:
    """The draw for each window; arguments as for `augment`, and `source`: height and width of the original frames."""
    aspect = relative_aspect(source, size)
    draws = [draw(augmentation, key, aspect) for key in keys]
    return [one if one.box else one._replace(box=uncropped) for one in draws]


def draw(augmentation: Augmentation, key: Sequence[int], aspect: float = 1.0) -> Draw:
    """The draw for the window with this key: a pure function of the arguments.

    Args:
        augmentation: what may be drawn.
        key: integers >= 0.
        aspect: the `relative_aspect` of the result; 1: it has the shape of the frames that are read.
    """
    crop, jitter, blur = augmentation.crop, augmentation.color_jitter, augmentation.blur
    chances = (crop.probability, augmentation.flip or 0.0, jitter.probability, augmentation.grayscale, blur.probability)
    later_chances = _later_chances(augmentation)
    if not any(chances) and not any(later_chances):
        return Draw()
    generator = np.random.default_rng([*key, _AUGMENT])
    cropped, flipped, jittered, gray, blurred = generator.random(len(chances)) < chances
    result = Draw(box=drawn_box(crop, aspect, generator) if cropped else None, flip=bool(flipped))
    if jittered:
        strengths = np.array([jitter.brightness, jitter.contrast, jitter.saturation])
        # A strength above 1 would turn factors negative, and with them pictures into their negatives.
        factors = generator.uniform(np.maximum(0, 1 - strengths), 1 + strengths).tolist()
        hue = generator.uniform(-jitter.hue, jitter.hue)
        result = result._replace(brightness=factors[0], contrast=factors[1], saturation=factors[2], hue=hue)
    if gray:
        result = result._replace(saturation=0.0)
    if blurred:
        result = result._replace(sigma=generator.uniform(blur.sigma[0], blur.sigma[1]))
    # These came later and are drawn last, so that everything above has the numbers that it always had.
    return _with_later_draws(result, augmentation, generator) if any(later_chances) else result


def _later_chances(augmentation: Augmentation) -> tuple[float, ...]:
    later = (augmentation.static_swap, augmentation.shift, augmentation.rotation, augmentation.noise)
    return tuple(one.probability for one in later)


def _with_later_draws(result: Draw, augmentation: Augmentation, generator: np.random.Generator) -> Draw:
    """The draw with static swap, shift, rotation and noise; as many numbers are drawn whichever of them happen."""
    swapped, shifted, turned, noisy = generator.random(4) < _later_chances(augmentation)
    # All are drawn whether used or not, so that switching one augmentation on does not change the draws of the others.
    partner, right, down, turn, strength, seed = generator.random(6).tolist()
    if swapped:
        result = result._replace(swap=augmentation.static_swap.mode, partner=partner)
    if shifted:
        pixels = augmentation.shift.pixels
        result = result._replace(move=Move(pixels * (2 * right - 1), pixels * (2 * down - 1)))
    if turned:
        result = result._replace(move=result.move._replace(degrees=augmentation.rotation.degrees * (2 * turn - 1)))
    if noisy:
        least, largest = augmentation.noise.std
        # Generators of CPUs take 32 bits of a seed.
        result = result._replace(noise=least + (largest - least) * strength, noise_seed=int(seed * 2**32))
    return result


def partners(draws: Sequence[Draw]) -> list[int]:
    """Which window of the batch gives its static part to each: never itself, but in a batch of one window.

    Row i of B takes row (i + 1 + n) mod B, where n in [0, B - 2] is the window's own draw: every other row is as
    likely. They may be windows of one video. Rows are those of the whole batch, where several processes share it.
    """
    windows, first = batch_share.batch_windows(len(draws)), batch_share.first_window()
    others = windows - 1
    return [(row + 1 + int(one.partner * others)) % windows for row, one in enumerate(draws, start=first)]


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
        video = _swap(video, video_BTCHW, draws)
        # A flip alone moves pixels as they are; with a crop or a move, the grid runs backwards.
        sampled = [one.box is not None or one.move != STILL for one in draws]
        video = _some(video, draws, [one.flip and not its for one, its in zip(draws, sampled, strict=True)], _flip)
        if size != (height, width):
            video = _sample(video, draws, size)
        else:
            video = _some(video, draws, sampled, partial(_sample, size=size))
        video = _some(video, draws, [one.colour != Draw().colour for one in draws], _recolour)
        video = _some(video, draws, [one.sigma > 0 for one in draws], _blur)
        return _some(video, draws, [one.noise > 0 for one in draws], _add_noise)


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


def _swap(video: Tensor, pixels: Tensor, draws: Sequence[Draw]) -> Tensor:
    """The video with static parts swapped, found in the pixels as they came: bytes are faster to compare."""
    # The other windows may be with other processes, which look at it likewise.
    swapped_B = batch_share.gathered(torch.tensor([one.swap is not None for one in draws], dtype=torch.uint8))
    if video.shape[1] < 2 or len(swapped_B) < 2 or not swapped_B.any():
        return video
    static_BCHW = static_part(pixels)
    static_BCHW = static_BCHW.float().div_(255) if pixels.dtype == torch.uint8 else static_BCHW
    of_batch_NCHW = batch_share.gathered(static_BCHW)
    # Modes are swapped one after the other, but all take the static parts as they were before the first.
    others_B = torch.tensor(partners(draws), device=video.device)
    for mode in sorted({one.swap for one in draws if one.swap}):
        rows = [row for row, one in enumerate(draws) if one.swap == mode]
        if len(rows) == len(draws):
            return swap_static(video, static_BCHW, of_batch_NCHW[others_B], mode)
        index_S = torch.tensor(rows, device=video.device)
        changed = swap_static(video[index_S], static_BCHW[index_S], of_batch_NCHW[others_B[index_S]], mode)
        video = video.index_copy(0, index_S, changed)
    return video


def _sample(video: Tensor, draws: Sequence[Draw], size: Size) -> Tensor:
    boxes = [one.box or Box(0.0, 0.0, 1.0, 1.0) for one in draws]
    return resample(video, boxes, [one.flip for one in draws], size, [one.move for one in draws])


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
    # Contrast scales around the mean of the whole window: that of each frame would make it flicker.
    offsets = like(video, brightness * (1 - contrast)) * luma
    recoloured = like(video, matrices)[:, None] @ video.flatten(3)
    return recoloured.add_(offsets[:, None, None, None]).clamp_(0, 1).view_as(video)


def _blur(video: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Gaussian blur, rows and columns one after the other; weights outside the frame go to the pixels inside."""
    variances = np.array([draw.sigma for draw in draws])[:, None, None] ** 2
    weights = []
    for size in video.shape[-2:]:
        distances = np.subtract.outer(np.arange(size), np.arange(size))
        # One matrix per window: sigmas differ, and a convolution would take a kernel size that fits the largest.
        gaussian = np.exp(-(distances**2) / (2 * variances))
        weights.append(like(video, gaussian / gaussian.sum(axis=2, keepdims=True))[:, None])
    blurred = weights[0] @ video.flatten(1, 2) @ weights[1].mT
    return blurred.clamp_(0, 1).view_as(video)


def _add_noise(video: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Noise of each window's own seed, drawn on the device: kinds of devices draw other numbers."""
    generator = torch.Generator(video.device)
    noise = video.new_empty(video.shape)
    for window, one in zip(noise, draws, strict=True):
        generator.manual_seed(one.noise_seed)
        window.normal_(0.0, one.noise, generator=generator)
    return noise.add_(video).clamp_(0, 1)
