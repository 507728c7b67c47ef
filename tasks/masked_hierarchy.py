"""Masked autoencoder of the hierarchy: `space` gets some patches of each frame, and every level predicts the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from architecture.hierarchy import Units
from architecture.masked_decoder import MaskedDecoder
from architecture.masking import Mask, draw_mask
from architecture.stem import unpatchify
from architecture.vit_blocks import init_xavier
from config.schema import Config
from data_utils.views.views import TrainingViews
from tasks.encoder import build_hierarchy
from tasks.encoder_checkpoint import load_encoder_checkpoint
from tasks.encoder_settings import HierarchySettings
from tasks.masked_pixels import MaskedPixelsTask, build_decoder, drawn_key, window_numbers
from tasks.masked_targets import masked_loss
from tasks.task import Losses, ParameterGroup, StepContext


class FrameDecoder(nn.Module):
    """Predicts the hidden patches of a frame from those that were shown, and from what one level knows of the frame.

    Frames are decoded one by one: what a prediction knows of other frames, the level has brought together.

    Args:
        decoder: of a frame.
        dim: width of the level.
        decoder_dim: width of the decoder.
        vectors: that the level knows of a frame.
    """

    def __init__(self, decoder: MaskedDecoder, dim: int, decoder_dim: int, vectors: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.project = nn.ModuleList(nn.Linear(dim, decoder_dim) for _ in range(vectors))
        self.project.apply(init_xavier)

    def forward(self, patches_FKD: Tensor, known: tuple[Tensor, ...], mask: Mask, asked_FM: Tensor | None) -> Tensor:
        """Predictions [F, M, numbers of a patch] of the patches `asked_FM`, or of all.

        Args:
            patches_FKD: what `space` made of the patches that were shown.
            known: what the level knows of each frame, see `MaskedHierarchyTask`: [F, dim] each.
            mask: of the frames.
            asked_FM: numbers of patches; None: all.
        """
        beside_FED = torch.stack([layer(vector) for layer, vector in zip(self.project, known, strict=True)], dim=1)
        predicted_FMD: Tensor = self.decoder(patches_FKD, mask.keep_BK, mask.tokens, asked_FM, beside_FED)
        return predicted_FMD


class MaskedHierarchyTask(MaskedPixelsTask):
    """Masked pixels as what every level learns from, as its own network or end to end.

    Every level has a decoder that predicts the hidden patches of each frame, from the tokens of those that were shown,
    and from what the level knows: for `space` its summary of the frame, for `time` its summary of the clip and its
    token for the frame, for `clip` its summary of the window and its token for the clip. What a level predicts better
    than the one below it, it knows from other frames.

    With `isolation: strict` the loss of a level moves that level and its decoder alone: the tokens of patches, which
    `space` makes, are detached for the levels above. Frames never see each other below `time`.

    Args:
        config: the whole config.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """

    def __init__(self, config: Config) -> None:
        patch_size = config.section(HierarchySettings).patch_size
        super().__init__(config, 1, patch_size)
        self.geometry, self.patch_size = config.geometry, patch_size
        self.hierarchy = build_hierarchy(config, self.settings.isolation)
        load_encoder_checkpoint(self.hierarchy, config)
        decoder, pixels = self.settings.decoder, 3 * self.patch_size**2
        self.decoders = nn.ModuleDict(
            {
                level: FrameDecoder(
                    build_decoder(decoder, config.dim("space"), (1, *self.geometry.grid), pixels, 3),
                    config.dim(level),
                    decoder.dim,
                    # `space` has a token for every patch, and the decoder gets those anyway.
                    vectors=1 if level == "space" else 2,
                )
                for level in self.geometry.joining
            }
        )

    @property
    def encoder(self) -> nn.Module:
        """The hierarchy without the decoders."""
        return self.hierarchy

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; the term of each level is the mean squared error of hidden pixels."""
        video_BTCHW = torch.cat(batch.videos)
        mask = self._mask(drawn_key(step), window_numbers(batch))
        predicted = self.predicted(video_BTCHW, mask, hidden_alone=True)
        targets_FMD = self.hidden_targets(video_BTCHW, mask)
        return {level: {"pixels": masked_loss(values_FMD, targets_FMD)} for level, values_FMD in predicted.items()}

    def _mask(self, key: tuple[int, ...], windows_BW: Tensor) -> Mask:
        """The patches of each frame, by window and time: as many of all frames, with `tube` the same ones."""
        frames = self.geometry.frames
        words_FW = windows_BW.repeat_interleave(frames, dim=0)
        if self.settings.mask != "tube":
            number_F1 = torch.arange(frames, device=words_FW.device).repeat(len(windows_BW))[:, None]
            words_FW = torch.cat([words_FW, number_F1], dim=1)
        return draw_mask("random", (1, *self.geometry.grid), self.settings.mask_ratio, key, words_FW)

    def masked_windows(self, video_BTCHW: Tensor) -> Tensor:
        """Every frame as a window of its own: [B * T, 1, C, H, W]."""
        return video_BTCHW.flatten(0, 1)[:, None]

    def fixed_mask(self, video_BTCHW: Tensor) -> Mask:
        """See `MaskedPixelsTask.fixed_mask`."""
        return self._mask((), torch.arange(len(video_BTCHW), device=video_BTCHW.device)[:, None])

    def predicted(self, video_BTCHW: Tensor, mask: Mask, *, hidden_alone: bool) -> dict[str, Tensor]:
        """See `MaskedPixelsTask.predicted`: of each frame, in the order of windows and time, [F, M, D]."""
        keep_BTK = mask.keep_BK.unflatten(0, (len(video_BTCHW), -1))
        units = self.hierarchy.encode(video_BTCHW, tokens=True, keep_BTK=keep_BTK)
        asked_FM = mask.masked_BM if hidden_alone else None
        patches_FKD = units.tokens["space"].flatten(0, 1)
        predicted: dict[str, Tensor] = {}
        for level, decoder in self.decoders.items():
            own = level == "space" or self.settings.isolation == "end2end"
            shown_FKD = patches_FKD if own else patches_FKD.detach()
            predicted[level] = decoder(shown_FKD, self._known(level, units), mask, asked_FM)
        return predicted

    def _known(self, level: str, units: Units) -> tuple[Tensor, ...]:
        """What a level knows of each frame: its summary of what the frame is in, and its token for it; [F, D] each."""
        frames = self.geometry.frames
        vectors = [units.summaries[level]]
        if level != "space":
            vectors.append(units.tokens[level].flatten(1, 2))
        return tuple(each.repeat_interleave(frames // each.shape[1], dim=1).flatten(0, 1) for each in vectors)

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group per level: the level with its input projection, and its decoder as its predictor."""
        return {
            name: ParameterGroup(parameters, list(self.decoders[name].parameters()) if name in self.decoders else [])
            for name, parameters in self.hierarchy.level_parameters().items()
        }

    def between_shown(self, found_BND: Tensor, video_BTCHW: Tensor, mask: Mask) -> Tensor:
        """See `MaskedPixelsTask.between_shown`: of each frame, [F, P, D]."""
        rows, shape = self.geometry.grid[0], (len(video_BTCHW), -1)
        hidden_BND = mask.hidden()[..., None].expand_as(found_BND)
        hidden, found = (
            unpatchify(each.unflatten(0, shape), rows, self.patch_size) for each in (hidden_BND, found_BND)
        )
        return torch.where(hidden, found, video_BTCHW)
