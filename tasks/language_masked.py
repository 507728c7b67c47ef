"""Masked autoencoders of frames that read a caption: V-Cond, and what V-Dual and V-Gen share with it."""

from __future__ import annotations

import torch
from torch import Tensor

from architecture.caption_decoder import FramesDecoder
from architecture.conditioned_transformer import ConditionedTransformer
from architecture.joint_transformer import JointTokens, JointTransformer
from architecture.masking import Mask, draw_mask
from architecture.tubelets import take
from config.errors import InputError
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews
from language.caption_cache import CaptionBatch
from language.training_captions import TrainingCaptions, open_captions, texts_of
from parallel.batch_share import batch_windows, own_windows
from tasks.language_settings import LanguageMaskedSettings, TextSettings
from tasks.masked import MaskedTask
from tasks.masked_pixels import drawn_key, window_numbers
from tasks.masked_targets import masked_loss
from tasks.task import Losses, StepContext, evaluating


class LanguageMaskedTask(MaskedTask):
    """V-Cond (Karamcheti et al., 2023, arXiv 2302.12766): a frame from a few of its patches and its caption.

    The words stand beside the shown patches in the encoder; the decoder sees patches alone, which have seen the words.
    What a validation measures, and pictures show, is predicted without captions.

    Args:
        config: the whole config.
        train: the training catalog, with captions.

    Raises:
        InputError: there are no captions, the text encoder is not there or has other sizes than the config says, or see
            `load_encoder_checkpoint`.
    """

    settings: LanguageMaskedSettings
    network: ConditionedTransformer  # type: ignore[assignment]  # a joint transformer with words beside it

    def __init__(self, config: Config, train: Catalog) -> None:
        super().__init__(config)
        self.captions = training_captions(self.settings.text, train)
        encoder = self.captions.cache.encoder
        self.network.know_text_encoder(encoder.fingerprint, self.captions.cache.batch([""]).states_BLT[0])

    def make_decoder(self, config: Config) -> FramesDecoder:
        """See `MaskedTask.make_decoder`."""
        return frames_decoder(config, self.network.joint)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; the terms are the mean squared errors of hidden pixels."""
        video_BTCHW = torch.cat(batch.videos)
        mask = self._drawn_mask(batch, video_BTCHW, step)
        captions = self.captions.of_rows(batch.rows_B.repeat(len(batch.videos))).to(video_BTCHW.device)
        without_B = chosen(self.settings.dropout, len(video_BTCHW), step.generator, len(batch.videos))
        read = self._without(captions, without_B.to(video_BTCHW.device))
        predicted_BMD = self._predicted(video_BTCHW, mask, mask.masked_BM, *read)
        return {self.group: self._pixel_terms(predicted_BMD, video_BTCHW, mask)}

    @torch.no_grad()
    def errors(self, video_BTCHW: Tensor, rows_B: Tensor, captions: CaptionBatch | None = None) -> Tensor:
        """The mean squared error of each window's hidden pixels, in evaluation mode: [B].

        Args:
            video_BTCHW: normalised windows.
            rows_B: int64, what the windows' masks are a function of.
            captions: that are read; None: those of no words.
        """
        settings, device = self.settings, video_BTCHW.device
        mask = draw_mask(settings.mask, self._grid(video_BTCHW), settings.mask_ratio, (), rows_B.to(device))
        read = (None, None) if captions is None else (captions.states_BLT.to(device), captions.shown_BL.to(device))
        with evaluating(self):
            predicted_BMD = self._predicted(video_BTCHW, mask, mask.masked_BM, *read).float()
        target_BMD = take(self.targets.of(video_BTCHW), mask.masked_BM)
        return (predicted_BMD - target_BMD).square().mean(dim=(1, 2))

    def _drawn_mask(self, batch: TrainingViews, video_BTCHW: Tensor, step: StepContext) -> Mask:
        """The masks of a step, a pure function of (seed, step, row, first and last frame, copy)."""
        last_B1 = torch.cat([frames_BT[:, -1:] for frames_BT in batch.frames])
        numbers = torch.cat([window_numbers(batch), last_B1], dim=1)
        settings = self.settings
        return draw_mask(settings.mask, self._grid(video_BTCHW), settings.mask_ratio, drawn_key(step), numbers)

    def _without(self, captions: CaptionBatch, without_B: Tensor) -> tuple[Tensor, Tensor]:
        """The states and shown words of captions, some of which become that of no words; in tensors of their own."""
        no_words_BLT, first_BL = self.network.no_words(len(without_B))
        states_BLT = torch.where(without_B[:, None, None], no_words_BLT, captions.states_BLT)
        return states_BLT, torch.where(without_B[:, None], first_BL, captions.shown_BL)

    def _predicted(
        self,
        video_BTCHW: Tensor,
        mask: Mask,
        asked_BM: Tensor | None,
        states_BLT: Tensor | None = None,
        shown_BL: Tensor | None = None,
    ) -> Tensor:
        """See `MaskedTask._predicted`; without captions, that of no words is read."""
        encoded = self.network.encode(video_BTCHW, states_BLT, shown_BL, mask.keep_BK)
        return self._decoded(encoded, mask, asked_BM)

    def _decoded(self, encoded: JointTokens, mask: Mask, asked_BM: Tensor | None) -> Tensor:
        """The pixels of the patches that are asked for, or of all: [B, M, numbers]."""
        beside = None if encoded.cls_B1D is None else self.decoder.project(encoded.cls_B1D)
        predicted: Tensor = self.decoder(encoded.tokens_BKD, mask.keep_BK, mask.tokens, asked_BM, beside)
        return predicted

    def _pixel_terms(self, predicted_BMD: Tensor, video_BTCHW: Tensor, mask: Mask) -> dict[str, Tensor]:
        """The losses of hidden pixels by term; of two frames, either is half of it."""
        target_BMD = take(self.targets.of(video_BTCHW), mask.masked_BM)
        names = ("pixels",) if self.settings.frames == 1 else ("first_frame", "later_frame")
        # Hidden patches stand in the order of time, as many of each frame.
        parts = zip(predicted_BMD.chunk(len(names), dim=1), target_BMD.chunk(len(names), dim=1), strict=True)
        return {name: masked_loss(*part) / len(names) for name, part in zip(names, parts, strict=True)}


def training_captions(text: TextSettings, train: Catalog) -> TrainingCaptions:
    """The captions of the training videos, and the encoder that a section asks for.

    Raises:
        InputError: there are none, or the encoder is not there or has another width.
    """
    texts = texts_of(train, text.captions)
    cache = open_captions(text.encoder, text.max_tokens, text.cache)
    if cache.encoder.dim != text.dim:
        raise InputError(f"text.dim: {text.encoder} has states of width {cache.encoder.dim}, not {text.dim}; set that")
    return TrainingCaptions(cache, texts)


def frames_decoder(config: Config, network: JointTransformer) -> FramesDecoder:
    """The decoder of the pixels of one frame or two that a config asks for."""
    numbers = config.section(LanguageMaskedSettings).decoder.model_dump()
    return FramesDecoder(network.dim, network.grid, 3 * network.patch_size**2, **numbers)


def chosen(share: float, number: int, generator: torch.Generator, copies: int = 1) -> Tensor:
    """Which of `number` things, drawn at random, make up `share` of them: bool [number].

    A share that is no whole number of things is rounded up or down, at random, so that it is right on average.
    """
    whole = copies * batch_windows(number // copies)
    count = int(share * whole + float(torch.rand((), generator=generator)))
    order = torch.randperm(whole, generator=generator)
    # Copies follow one another, and of each of them a process has its windows.
    return own_windows((order < count).unflatten(0, (copies, -1)).T).T.flatten()
