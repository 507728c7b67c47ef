"""A trained encoder that reads captions: `load_encoder` gives one for the tasks that train with captions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from architecture.caption_decoder import caption_nll
from architecture.conditioned_transformer import ConditionedTransformer, Mode
from config.errors import InputError
from config.schema import Config
from language.caption_cache import CaptionBatch, CaptionCache
from language.text_encoder import check_texts
from language.training_captions import open_captions
from tasks.language_settings import LanguageMaskedSettings
from tasks.pretrained import TrainedEncoder


class LanguageEncoder(TrainedEncoder):
    """An encoder of frames and captions, from pixels and texts.

    The text encoder, which is no part of a run, is opened when a caption is first given; without captions it is not
    needed.

    Args:
        network: takes normalised windows and the states of a text encoder.
        config: what it was trained with, `mean` and `std` filled in.

    Raises:
        InputError: the config does not say how pixels are normalised.
    """

    network: ConditionedTransformer

    def __init__(self, network: ConditionedTransformer, config: Config) -> None:
        super().__init__(network, config)
        self._captions: CaptionCache | None = None

    @property
    def captions(self) -> CaptionCache:
        """What turns captions into states, with the text encoder of the training.

        Raises:
            InputError: there is no such encoder on this machine, or it is another one.
        """
        if self._captions is None:
            text = self.config.section(LanguageMaskedSettings).text
            opened = open_captions(text.encoder, text.max_tokens, text.cache)
            if opened.encoder.fingerprint != self.network.fingerprint:
                raise InputError(
                    f"text.encoder: {text.encoder} is not the text encoder that this run was trained with, as its "
                    "weights or its vocabulary are others; put that one in its place"
                )
            self._captions = opened
        return self._captions

    def represent(
        self, video_BTCHW: Tensor, captions: str | Sequence[str] | None = None, mode: Mode = "multimodal"
    ) -> Tensor:
        """What windows look like in the light of captions.

        Args:
            video_BTCHW: as for `forward`: T is 1, or 2 where the encoder sees an early frame and a later one.
            captions: one for every window, or one for all; None: that of no words.
            mode: `multimodal`: the patches of the (later) frame, then the words; `visual`: the patches alone, which
                have seen the words.

        Returns:
            [B, N + L, width] or [B, N, width]; of a caption shorter than L, the last words are padding.

        Raises:
            InputError: the video has another shape, type or range, there are more or fewer captions than windows, or
                see `captions`.
        """
        pixels = self.normalised(video_BTCHW)
        if captions is None:
            return self.network.represent(pixels, mode=mode)
        given = self._batch(captions, len(pixels))
        return self.network.represent(pixels, given.states_BLT.to(pixels), given.shown_BL.to(pixels.device), mode)

    @torch.no_grad()
    def score(self, video_BTCHW: Tensor, captions: Sequence[str]) -> Tensor:
        """How well captions fit what windows show: the mean log-likelihood of their words, the higher the better.

        Args:
            video_BTCHW: as for `forward`.
            captions: k of them, which are all tried on every window.

        Returns:
            [B, k].

        Raises:
            InputError: the encoder has not learned to write captions (`task: generative`), or see `represent`.
        """
        decoder = self.network.decoder
        if decoder is None:
            raise InputError(f"score: task {self.config.task} learns to write no captions; task generative does")
        pixels = self.normalised(video_BTCHW)
        given = self._batch(captions, len(captions))
        encoded = self.network.encode(pixels)
        tokens_BND = encoded.tokens_BKD
        number, device = tokens_BND.shape[1], pixels.device
        all_N = torch.arange(number, device=device)
        words_KLT = self.captions.encoder.embed(given.ids_BL).to(device)
        scores = []
        for tokens_ND in tokens_BND:
            repeated = tokens_ND.expand(len(captions), -1, -1)
            scores_KLV = decoder(repeated, all_N.expand(len(captions), -1), number, words_KLT)[1]
            scores.append(-caption_nll(scores_KLV, given.ids_BL.to(device), given.shown_BL.to(device)))
        return torch.stack(scores)

    def _batch(self, captions: str | Sequence[str], number: int) -> CaptionBatch:
        texts = [captions] * number if isinstance(captions, str) else list(captions)
        check_texts(texts)
        if len(texts) != number or not texts:
            raise InputError(f"captions: got {len(texts)} for {number} windows; give one for each, or a single text")
        return self.captions.batch(texts)
