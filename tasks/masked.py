"""Masked autoencoder of a joint space-time transformer: it is shown few tubelets, and a decoder predicts the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from architecture.joint_transformer import JointTransformer
from architecture.masked_decoder import MaskedDecoder
from architecture.masking import Mask, draw_mask
from architecture.tubelets import from_tubelets, take
from config.schema import Config
from data_utils.views.views import TrainingViews, View
from tasks.encoder import build_encoder
from tasks.joint_settings import DecoderSettings, JointSettings
from tasks.masked_settings import MaskedSettings
from tasks.masked_targets import PixelTargets, masked_loss
from tasks.task import MEANS, SHOWN, Losses, ParameterGroup, StepContext, Task, evaluating

_LIMIT = 2**62  # of a step's number


class MaskedTask(Task):
    """MAE (He et al., 2022, arXiv 2111.06377) on windows of one frame or of several.

    With `repeats`, a window is decoded once and seen in several copies, each with its own crop and its own mask
    (repeated augmentation; Hoffer et al., 2020, arXiv 1901.09335). The mask of a window is a pure function of (seed,
    step, row, first frame, copy); where the task is asked to predict outside of training, it is always the same.

    Args:
        config: the whole config.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        numbers, self.settings = config.section(JointSettings), config.section(MaskedSettings)
        self.level = config.levels[-1]
        self.view = View(augmentation=config.augmentation if self.settings.augment else None)
        self.network = cast(JointTransformer, build_encoder(config))
        self.targets = pixel_targets(config, numbers.tubelet, numbers.patch_size)
        self.group = config.task
        self.decoder = self.make_decoder(config)

    def make_decoder(self, config: Config) -> MaskedDecoder:
        """What predicts the pixels of hidden tubelets."""
        numbers = config.section(JointSettings)
        channels = 3 * numbers.tubelet
        pixels = channels * numbers.patch_size**2
        return build_decoder(self.settings.decoder, numbers.dim, self.network.grid, pixels, channels)

    @property
    def encoder(self) -> nn.Module:
        """The encoder without the decoder."""
        return self.network

    @property
    def views(self) -> tuple[View, ...]:
        """As many copies of the window as are asked for."""
        return (self.view,) * self.settings.repeats

    @property
    def view_names(self) -> tuple[str, ...]:
        """The numbers of the copies."""
        return tuple(f"copy {number}" for number in range(1, self.settings.repeats + 1))

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; the term is the mean squared error of hidden pixels."""
        video_BTCHW = torch.cat(batch.videos)
        mask = draw_mask(
            self.settings.mask,
            self._grid(video_BTCHW),
            self.settings.mask_ratio,
            drawn_key(step),
            window_numbers(batch),
        )
        predicted_BMD = self._predicted(video_BTCHW, mask, mask.masked_BM)
        return {self.group: {"pixels": masked_loss(predicted_BMD, take(self.targets.of(video_BTCHW), mask.masked_BM))}}

    def _grid(self, video_BTCHW: Tensor) -> tuple[int, int, int]:
        """That of these windows: one time for images."""
        _, rows, columns = self.network.grid
        return max(1, video_BTCHW.shape[1] // self.network.tubelet), rows, columns

    def _predicted(self, video_BTCHW: Tensor, mask: Mask, asked_BM: Tensor | None) -> Tensor:
        """What is predicted of the tokens `asked_BM`, or of all: [B, M, numbers of a tubelet]."""
        encoded = self.network.encode(self.network.embed(video_BTCHW, mask.keep_BK))
        # The decoder sees the CLS token: otherwise nothing would train what its last block makes of it.
        beside = None if encoded.cls_B1D is None else self.decoder.project(encoded.cls_B1D)
        number = mask.keep_BK.shape[1] + mask.masked_BM.shape[1]
        predicted_BMD: Tensor = self.decoder(encoded.tokens_BKD, mask.keep_BK, number, asked_BM, beside)
        return predicted_BMD

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder; its predictor is the decoder."""
        return {self.group: ParameterGroup(list(self.network.parameters()), list(self.decoder.parameters()))}

    @torch.no_grad()
    def prediction_errors(
        self, video_BTCHW: Tensor, generator: torch.Generator
    ) -> dict[str, dict[str, tuple[float, float]]]:
        """See `Task.prediction_errors`: of hidden pixels, which are inside, so that the direction is down."""
        del generator  # the same mask at every validation, else its noise would hide what training changes
        if len(video_BTCHW) < 2:
            return {}
        mask = self._fixed_mask(video_BTCHW)
        with evaluating(self):
            predicted_BMD = self._predicted(video_BTCHW, mask, mask.masked_BM)
        targets_BND = self.targets.of(video_BTCHW)
        aims = (take(each, mask.masked_BM) for each in (targets_BND, targets_BND.roll(1, dims=0)))
        own, other = (float(masked_loss(predicted_BMD, aim)) for aim in aims)
        return {self.level: {"down": (own, other)}}

    @torch.no_grad()
    def predicted_pixels(self, video_BTCHW: Tensor) -> Tensor | None:
        """See `Task.predicted_pixels`: hidden pixels as they are predicted, between those that were shown."""
        mask = self._fixed_mask(video_BTCHW)
        with evaluating(self):
            predicted_BND = self._predicted(video_BTCHW, mask, None)
        return self._between_shown(self.targets.inverted(predicted_BND, video_BTCHW), video_BTCHW, mask)

    @torch.no_grad()
    def pixels_beside(self, video_BTCHW: Tensor) -> dict[str, Tensor]:
        """See `Task.pixels_beside`: what was shown, and the hidden patches' means alone."""
        mask = self._fixed_mask(video_BTCHW)
        blank_BND = torch.zeros_like(self.targets.of(video_BTCHW))
        means = self._between_shown(self.targets.inverted(blank_BND, video_BTCHW), video_BTCHW, mask)
        shown = self._between_shown(torch.full_like(blank_BND, torch.nan), video_BTCHW, mask)
        return {SHOWN: shown, MEANS: means}

    def _fixed_mask(self, video_BTCHW: Tensor) -> Mask:
        """A mask of each window that depends on its number in the batch alone."""
        rows_B = torch.arange(len(video_BTCHW), device=video_BTCHW.device)
        return draw_mask(self.settings.mask, self._grid(video_BTCHW), self.settings.mask_ratio, (), rows_B)

    def _between_shown(self, found_BND: Tensor, video_BTCHW: Tensor, mask: Mask) -> Tensor:
        """Windows whose hidden pixels are `found_BND`: [B, T, C, H, W]."""
        grid, (tubelet, patch_size) = self._grid(video_BTCHW), (self.network.tubelet, self.network.patch_size)
        frames_BTCHW = from_tubelets(found_BND, grid, tubelet, patch_size)
        width = found_BND.shape[-1]
        hidden_BND = mask.hidden()[..., None].expand(-1, -1, width)
        hidden_BTCHW = from_tubelets(hidden_BND, grid, tubelet, patch_size)
        length = video_BTCHW.shape[1]
        return torch.where(hidden_BTCHW[:, :length], frames_BTCHW[:, :length], video_BTCHW)


def pixel_targets(config: Config, tubelet: int, patch_size: int) -> PixelTargets:
    """The targets that a config of `task: masked` asks for."""
    settings = config.section(MaskedSettings)
    undone = config.pixels if settings.undo_normalisation else None
    return PixelTargets(tubelet, patch_size, settings.normalise, undone)


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
