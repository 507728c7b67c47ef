"""Masked autoencoders: what those of any encoder share, which is the windows, the monitor and the pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from architecture.masked_decoder import MaskedDecoder
from architecture.masking import Mask
from architecture.tubelets import take
from config.schema import Config
from data_utils.views.views import TrainingViews, View
from tasks.joint_settings import DecoderSettings
from tasks.masked_settings import MaskedSettings
from tasks.masked_targets import PixelTargets, masked_loss
from tasks.task import MEANS, SHOWN, StepContext, Task, evaluating

_LIMIT = 2**62  # of a step's number


class MaskedPixelsTask(Task):
    """A task whose encoder is shown some patches of a window, and which predicts the pixels of the others.

    With `repeats`, a window is decoded once and seen in several copies, each with its own crop and its own mask
    (repeated augmentation; Hoffer et al., 2020, arXiv 1901.09335).

    Args:
        config: the whole config.
        tubelet: frames of what is hidden or shown.
        patch_size: its side, pixels.
    """

    def __init__(self, config: Config, tubelet: int, patch_size: int) -> None:
        super().__init__()
        self.settings = config.section(MaskedSettings)
        self.view = View(augmentation=config.augmentation if self.settings.augment else None)
        undone = config.pixels if self.settings.undo_normalisation else None
        self.targets = PixelTargets(tubelet, patch_size, self.settings.normalise, undone)

    @property
    def views(self) -> tuple[View, ...]:
        """As many copies of the window as are asked for."""
        return (self.view,) * self.settings.repeats

    @property
    def view_names(self) -> tuple[str, ...]:
        """The numbers of the copies."""
        return tuple(f"copy {number}" for number in range(1, self.settings.repeats + 1))

    @abstractmethod
    def fixed_mask(self, video_BTCHW: Tensor) -> Mask:
        """A mask of each window that depends on its number in the batch alone, for what is looked at again."""

    @abstractmethod
    def predicted(self, video_BTCHW: Tensor, mask: Mask, *, hidden_alone: bool) -> dict[str, Tensor]:
        """By level, lowest first, what is predicted of the hidden patches, or of all: [B or B * T, M, numbers]."""

    @abstractmethod
    def between_shown(self, found_BND: Tensor, video_BTCHW: Tensor, mask: Mask) -> Tensor:
        """Windows [B, T, C, H, W] whose hidden pixels are `found_BND`."""

    def masked_windows(self, video_BTCHW: Tensor) -> Tensor:
        """Windows as masks count them: [B, T, C, H, W], or every frame by itself."""
        return video_BTCHW

    def hidden_targets(self, video_BTCHW: Tensor, mask: Mask) -> Tensor:
        """What hidden patches are to be predicted as: [B or B * T, M, numbers]."""
        return take(self.targets.of(self.masked_windows(video_BTCHW)), mask.masked_BM)

    @torch.no_grad()
    def prediction_errors(
        self, video_BTCHW: Tensor, generator: torch.Generator
    ) -> dict[str, dict[str, tuple[float, float]]]:
        """See `Task.prediction_errors`: of hidden pixels, which are inside, so that the direction is down."""
        del generator  # the same mask at every validation, else its noise would hide what training changes
        if len(video_BTCHW) < 2:
            return {}
        mask = self.fixed_mask(video_BTCHW)
        with evaluating(self):
            predicted = self.predicted(video_BTCHW, mask, hidden_alone=True)
        own, other = (self.hidden_targets(video, mask) for video in (video_BTCHW, video_BTCHW.roll(1, dims=0)))
        return {
            level: {"down": (float(masked_loss(values, own)), float(masked_loss(values, other)))}
            for level, values in predicted.items()
        }

    @torch.no_grad()
    def predicted_pixels(self, video_BTCHW: Tensor) -> Tensor | None:
        """See `Task.predicted_pixels`: hidden pixels as the last level predicts them, between those that were shown."""
        mask = self.fixed_mask(video_BTCHW)
        with evaluating(self):
            *_, predicted_BND = self.predicted(video_BTCHW, mask, hidden_alone=False).values()
        pixels_BND = self.targets.inverted(predicted_BND, self.masked_windows(video_BTCHW))
        return self.between_shown(pixels_BND, video_BTCHW, mask)

    @torch.no_grad()
    def pixels_beside(self, video_BTCHW: Tensor) -> dict[str, Tensor]:
        """See `Task.pixels_beside`: what was shown, and the hidden patches' means alone."""
        mask, windows = self.fixed_mask(video_BTCHW), self.masked_windows(video_BTCHW)
        blank_BND = torch.zeros_like(self.targets.of(windows))
        return {
            SHOWN: self.between_shown(torch.full_like(blank_BND, torch.nan), video_BTCHW, mask),
            MEANS: self.between_shown(self.targets.inverted(blank_BND, windows), video_BTCHW, mask),
        }


def build_decoder(
    settings: DecoderSettings, in_dim: int, grid: tuple[int, int, int], out_dim: int, channels: int
) -> MaskedDecoder:
    """The decoder that a section asks for; see `MaskedDecoder` for the other arguments."""
    numbers: Mapping[str, Any] = settings.model_dump()
    return MaskedDecoder(in_dim, grid, out_dim, channels=channels, **numbers)


def drawn_key(step: StepContext) -> tuple[int]:
    """A number of the step for masks, as its generator draws it."""
    return (int(torch.randint(_LIMIT, (), generator=step.generator)),)


def window_numbers(batch: TrainingViews) -> Tensor:
    """What tells the windows of all views apart: [views * B, 3], the row, the first frame and the view's number."""
    numbers = [
        torch.stack([batch.rows_B, frames_BT[:, 0], torch.full_like(batch.rows_B, number)], dim=1)
        for number, frames_BT in enumerate(batch.frames)
    ]
    return torch.cat(numbers)
