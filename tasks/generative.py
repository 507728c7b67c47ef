"""Masked autoencoder of two frames that reads the caption of some windows, and writes that of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from architecture.caption_decoder import CaptionDecoder, caption_nll
from architecture.joint_transformer import JointTokens
from architecture.masking import Mask
from architecture.tubelets import take
from config.errors import InputError
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews
from parallel.batch_share import summed
from tasks.dual import DualTask
from tasks.language_masked import chosen
from tasks.language_settings import GenerativeSettings
from tasks.task import Losses, ParameterGroup, StepContext


class GenerativeTask(DualTask):
    """V-Gen (Karamcheti et al., 2023, arXiv 2302.12766).

    Of each batch `gen_ratio` of the windows are shown no caption, and the decoder writes it: it predicts each word from
    the patches and the words before. The others are shown it, as V-Dual's are. The pixels of both count.

    Args:
        config: the whole config.
        train: the training catalog, with captions.

    Raises:
        InputError: see `LanguageMaskedTask`; or the text encoder has another vocabulary.
    """

    settings: GenerativeSettings

    def __init__(self, config: Config, train: Catalog) -> None:
        super().__init__(config, train)
        known = self.captions.cache.encoder.vocabulary
        if known != self.settings.vocabulary:
            wrong = f"{config.task}.vocabulary: {self.settings.text.encoder} has {known} words"
            raise InputError(f"{wrong}, not {self.settings.vocabulary}; set that")
        del self.decoder  # it is the network's, which scores captions by it

    @property
    def writer(self) -> CaptionDecoder:
        """What predicts patches and words."""
        decoder = self.network.decoder
        assert decoder is not None
        return decoder

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; the terms are hidden pixels of either frame, and captions that are to be written."""
        settings, device = self.settings, batch.videos[0].device
        video_BTCHW = torch.cat(batch.videos)
        mask = self._drawn_mask(batch, video_BTCHW, step)
        captions = self.captions.of_rows(batch.rows_B.repeat(len(batch.videos)))
        there = captions.to(device)
        ids_BL, shown_BL = there.ids_BL, there.shown_BL
        writes_B = chosen(settings.gen_ratio, len(ids_BL), step.generator, len(batch.videos)).to(device)
        dropped_B = chosen(settings.dropout, len(ids_BL), step.generator, len(batch.videos)).to(device)
        read = self._without(there, writes_B | dropped_B)
        encoded = self.network.encode(video_BTCHW, *read, mask.keep_BK)
        words_BLT = self.captions.cache.encoder.embed(captions.ids_BL).to(device)
        pixels_BND, scores_BLV = self.writer(encoded.tokens_BKD, mask.keep_BK, mask.tokens, words_BLT)
        terms = self._pixel_terms(take(pixels_BND, mask.masked_BM), video_BTCHW, mask)
        nll_B = caption_nll(scores_BLV, ids_BL, shown_BL)
        # Its weight is 0 where nothing is written, not undefined; a caption of no words has no next one to write.
        weight_B = (writes_B & (shown_BL.sum(dim=1) > 1)).float()
        nll = summed((nll_B * weight_B).sum()) / summed(weight_B.sum()).clamp(min=1)
        if weight_B.any():
            step.measure("perplexity", nll.detach().exp())
        return {self.group: terms | {"caption": settings.language_weight * nll}}

    def _decoded(self, encoded: JointTokens, mask: Mask, asked_BM: Tensor | None) -> Tensor:
        """See `LanguageMaskedTask._decoded`; patches see no words, so none are written here."""
        predicted: Tensor = self.writer.patches(encoded.tokens_BKD, mask.keep_BK, mask.tokens, asked_BM)
        return predicted

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder; its predictor is the decoder."""
        predictors = list(self.writer.parameters())
        known = {id(parameter) for parameter in predictors}
        encoder = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        return {self.group: ParameterGroup(encoder, predictors)}
