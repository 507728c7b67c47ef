"""Masked autoencoder of a joint space-time transformer: it is shown few tubelets, and a decoder predicts the others."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from architecture.joint_transformer import JointTransformer
from architecture.masked_decoder import MaskedDecoder
from architecture.masking import Mask, draw_mask
from architecture.tubelets import from_tubelets
from config.schema import Config
from data_utils.views.views import TrainingViews
from tasks.encoder import build_encoder
from tasks.joint_settings import JointSettings
from tasks.masked_pixels import MaskedPixelsTask, build_decoder, drawn_key, window_numbers
from tasks.masked_targets import masked_loss
from tasks.task import Losses, ParameterGroup, StepContext


class MaskedTask(MaskedPixelsTask):
    """MAE (He et al., 2022, arXiv 2111.06377) on windows of one frame or of several.

    The mask of a window is a pure function of (seed, step, row, first frame, copy); where the task is asked to predict
    outside of training, it is always the same.

    Args:
        config: the whole config.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """

    def __init__(self, config: Config) -> None:
        numbers = config.section(JointSettings)
        super().__init__(config, numbers.tubelet, numbers.patch_size)
        self.level = config.levels[-1]
        self.network = cast(JointTransformer, build_encoder(config))
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
        return {self.group: {"pixels": masked_loss(predicted_BMD, self.hidden_targets(video_BTCHW, mask))}}

    def _grid(self, video_BTCHW: Tensor) -> tuple[int, int, int]:
        """That of these windows: one time for images."""
        _, rows, columns = self.network.grid
        return max(1, video_BTCHW.shape[1] // self.network.tubelet), rows, columns

    def _predicted(self, video_BTCHW: Tensor, mask: Mask, asked_BM: Tensor | None) -> Tensor:
        """What is predicted of the tokens `asked_BM`, or of all: [B, M, numbers of a tubelet]."""
        encoded = self.network.encode(self.network.embed(video_BTCHW, mask.keep_BK))
        # The decoder sees the CLS token: otherwise nothing would train what its last block makes of it.
        beside = None if encoded.cls_B1D is None else self.decoder.project(encoded.cls_B1D)
        predicted_BMD: Tensor = self.decoder(encoded.tokens_BKD, mask.keep_BK, mask.tokens, asked_BM, beside)
        return predicted_BMD

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder; its predictor is the decoder."""
        return {self.group: ParameterGroup(list(self.network.parameters()), list(self.decoder.parameters()))}

    def predicted(self, video_BTCHW: Tensor, mask: Mask, *, hidden_alone: bool) -> dict[str, Tensor]:
        """See `MaskedPixelsTask.predicted`."""
        return {self.level: self._predicted(video_BTCHW, mask, mask.masked_BM if hidden_alone else None)}

    def fixed_mask(self, video_BTCHW: Tensor) -> Mask:
        """See `MaskedPixelsTask.fixed_mask`."""
        rows_B = torch.arange(len(video_BTCHW), device=video_BTCHW.device)
        return draw_mask(self.settings.mask, self._grid(video_BTCHW), self.settings.mask_ratio, (), rows_B)

    def between_shown(self, found_BND: Tensor, video_BTCHW: Tensor, mask: Mask) -> Tensor:
        """See `MaskedPixelsTask.between_shown`."""
        grid, (tubelet, patch_size) = self._grid(video_BTCHW), (self.network.tubelet, self.network.patch_size)
        frames_BTCHW = from_tubelets(found_BND, grid, tubelet, patch_size)
        width = found_BND.shape[-1]
        hidden_BND = mask.hidden()[..., None].expand(-1, -1, width)
        hidden_BTCHW = from_tubelets(hidden_BND, grid, tubelet, patch_size)
        length = video_BTCHW.shape[1]
        return torch.where(hidden_BTCHW[:, :length], frames_BTCHW[:, :length], video_BTCHW)
