"""Masked autoencoder of the hierarchy: `space` gets some patches of each frame, and every level predicts the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from architecture.hierarchy import Units
from architecture.masked_decoder import MaskedDecoder
from architecture.masking import Mask, draw_mask
from architecture.stem import unpatchify
from architecture.tubelets import take
from architecture.vit_blocks import init_xavier
from config.schema import Config
from data_utils.views.views import TrainingViews, View
from tasks.encoder import build_hierarchy
from tasks.encoder_checkpoint import load_encoder_checkpoint
from tasks.encoder_settings import HierarchySettings
from tasks.masked import build_decoder, drawn_key, pixel_targets, window_numbers
from tasks.masked_settings import MaskedSettings
from tasks.masked_targets import masked_loss
from tasks.task import MEANS, SHOWN, Losses, ParameterGroup, StepContext, Task, evaluating


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
        number = mask.keep_BK.shape[1] + mask.masked_BM.shape[1]
        predicted_FMD: Tensor = self.decoder(patches_FKD, mask.keep_BK, number, asked_FM, beside_FED)
        return predicted_FMD


class MaskedHierarchyTask(Task):
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
        super().__init__()
        self.settings, self.geometry = config.section(MaskedSettings), config.geometry
        numbers = config.section(HierarchySettings)
        self.view = View(augmentation=config.augmentation if self.settings.augment else None)
        self.hierarchy = build_hierarchy(config, self.settings.isolation)
        load_encoder_checkpoint(self.hierarchy, config)
        self.patch_size = numbers.patch_size
        self.targets = pixel_targets(config, 1, self.patch_size)
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

    @property
    def views(self) -> tuple[View, ...]:
        """As many copies of the window as are asked for."""
        return (self.view,) * self.settings.repeats

    @property
    def view_names(self) -> tuple[str, ...]:
        """The numbers of the copies."""
        return tuple(f"copy {number}" for number in range(1, self.settings.repeats + 1))

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; the term of each level is the mean squared error of hidden pixels."""
        video_BTCHW = torch.cat(batch.videos)
        mask = self._mask(drawn_key(step), window_numbers(batch))
        predicted = self._predicted(video_BTCHW, mask, hidden_alone=True)
        targets_FMD = take(self.targets.of(_one_by_one(video_BTCHW)), mask.masked_BM)
        return {level: {"pixels": masked_loss(values_FMD, targets_FMD)} for level, values_FMD in predicted.items()}

    def _mask(self, key: tuple[int, ...], windows_BW: Tensor) -> Mask:
        """The patches of each frame, by window and time: as many of all frames, with `tube` the same ones."""
        frames = self.geometry.frames
        words_FW = windows_BW.repeat_interleave(frames, dim=0)
        if self.settings.mask != "tube":
            number_F1 = torch.arange(frames, device=words_FW.device).repeat(len(windows_BW))[:, None]
            words_FW = torch.cat([words_FW, number_F1], dim=1)
        return draw_mask("random", (1, *self.geometry.grid), self.settings.mask_ratio, key, words_FW)

    def _fixed_mask(self, video_BTCHW: Tensor) -> Mask:
        """A mask of each window that depends on its number in the batch alone."""
        return self._mask((), torch.arange(len(video_BTCHW), device=video_BTCHW.device)[:, None])

    def _predicted(self, video_BTCHW: Tensor, mask: Mask, *, hidden_alone: bool) -> dict[str, Tensor]:
        """By level, what it predicts of the patches of each frame, in the order of windows and time: [F, M, D]."""
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
            predicted = self._predicted(video_BTCHW, mask, hidden_alone=True)
        videos = (video_BTCHW, video_BTCHW.roll(1, dims=0))
        own_FMD, other_FMD = (take(self.targets.of(_one_by_one(each)), mask.masked_BM) for each in videos)
        return {
            level: {"down": (float(masked_loss(values, own_FMD)), float(masked_loss(values, other_FMD)))}
            for level, values in predicted.items()
        }

    @torch.no_grad()
    def predicted_pixels(self, video_BTCHW: Tensor) -> Tensor | None:
        """See `Task.predicted_pixels`: hidden pixels as the last level predicts them, between those that were shown."""
        mask = self._fixed_mask(video_BTCHW)
        with evaluating(self):
            predicted_FPD = list(self._predicted(video_BTCHW, mask, hidden_alone=False).values())[-1]
        return self._between_shown(self.targets.inverted(predicted_FPD, _one_by_one(video_BTCHW)), video_BTCHW, mask)

    @torch.no_grad()
    def pixels_beside(self, video_BTCHW: Tensor) -> dict[str, Tensor]:
        """See `Task.pixels_beside`: what was shown, and the hidden patches' means alone."""
        mask = self._fixed_mask(video_BTCHW)
        blank_FPD = torch.zeros_like(self.targets.of(_one_by_one(video_BTCHW)))
        means_FPD = self.targets.inverted(blank_FPD, _one_by_one(video_BTCHW))
        return {
            SHOWN: self._between_shown(torch.full_like(blank_FPD, torch.nan), video_BTCHW, mask),
            MEANS: self._between_shown(means_FPD, video_BTCHW, mask),
        }

    def _between_shown(self, found_FPD: Tensor, video_BTCHW: Tensor, mask: Mask) -> Tensor:
        """Windows whose hidden pixels are `found_FPD`: [B, T, C, H, W]."""
        rows, shape = self.geometry.grid[0], (len(video_BTCHW), -1)
        hidden_FPD = mask.hidden()[..., None].expand_as(found_FPD)
        hidden, found = (
            unpatchify(each.unflatten(0, shape), rows, self.patch_size) for each in (hidden_FPD, found_FPD)
        )
        return torch.where(hidden, found, video_BTCHW)


def _one_by_one(video_BTCHW: Tensor) -> Tensor:
    """Every frame as a window of its own: [B * T, 1, C, H, W]."""
    return video_BTCHW.flatten(0, 1)[:, None]
