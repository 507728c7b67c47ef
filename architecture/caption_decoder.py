"""Decoders of pairs of frames, and one that also says, word by word, what the frames show."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.geometry import Grid3
from architecture.masked_decoder import MaskedDecoder
from architecture.vit_blocks import init_xavier


class FramesDecoder(MaskedDecoder):
    """A masked decoder that knows, by a learned vector, which frame of a window a token is of.

    Args:
        in_dim: see `MaskedDecoder`.
        grid: see `MaskedDecoder`.
        out_dim: see `MaskedDecoder`.
        dim: see `MaskedDecoder`.
        others: see `MaskedDecoder`.
    """

    def __init__(self, in_dim: int, grid: Grid3, out_dim: int, *, dim: int, **others: Any) -> None:
        super().__init__(in_dim, grid, out_dim, dim=dim, **others)
        self.frame_FD = nn.Parameter(torch.randn(grid[0], dim)) if grid[0] > 1 else None
        self.places = grid[1] * grid[2]

    def whole(self, tokens_BKD: Tensor, keep_BK: Tensor, number: int) -> Tensor:
        """See `MaskedDecoder.whole`."""
        placed_BND = super().whole(tokens_BKD, keep_BK, number)
        if self.frame_FD is None:
            return placed_BND
        return placed_BND + self.frame_FD.repeat_interleave(self.places, dim=0)


class CaptionDecoder(nn.Module):
    """Predicts hidden patches and the next word of a caption, in one transformer (V-Gen, arXiv 2302.12766).

    Words come as their static embeddings, which know nothing of each other. Patches see all patches and no word; a word
    sees all patches, itself and the words before it.

    Args:
        patches: the decoder of the patches, whose blocks the words share.
        text_dim: width of the embeddings of words.
        dim: width of the decoder.
        vocabulary: number of words.
    """

    def __init__(self, patches: FramesDecoder, text_dim: int, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.patches = patches
        self.project = nn.Linear(text_dim, dim)
        self.to_words = nn.Linear(dim, vocabulary)
        for layer in (self.project, self.to_words):
            init_xavier(layer)

    def forward(self, tokens_BKD: Tensor, keep_BK: Tensor, number: int, words_BLT: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions of all patches [B, N, out_dim], and of the word after each: scores [B, L, vocabulary].

        Args:
            tokens_BKD: of the encoder, those that were shown.
            keep_BK: their numbers in the grid.
            number: of all tokens, N.
            words_BLT: static embeddings of the caption's tokens.
        """
        placed_BND = self.patches.whole(tokens_BKD, keep_BK, number)
        words_BLD = self.project(words_BLT).to(placed_BND.dtype)
        shown = prefix_mask(number, words_BLD.shape[1], placed_BND.device)
        mixed = self.patches.mix(torch.cat([placed_BND, words_BLD], dim=1), shown)
        pixels_BND: Tensor = self.patches.head(mixed[:, :number])
        scores_BLV: Tensor = self.to_words(mixed[:, number:])
        return pixels_BND, scores_BLV


def prefix_mask(patches: int, words: int, device: torch.device | None = None) -> Tensor:
    """Who sees whom: bool [patches + words] squared, True where the token of the row sees that of the column."""
    number = patches + words
    shown = torch.ones(number, number, dtype=torch.bool, device=device).tril()
    shown[:, :patches] = True
    return shown


def caption_nll(scores_BLV: Tensor, ids_BL: Tensor, shown_BL: Tensor) -> Tensor:
    """The mean negative log-likelihood of each caption's next tokens: [B], float32.

    A mean over the tokens that are part of the caption and have one after them: that after the last one, [SEP], is
    padding, as published.

    Args:
        scores_BLV: of the token after each.
        ids_BL: the tokens.
        shown_BL: bool, False for padding.
    """
    losses_BL = F.cross_entropy(scores_BLV[:, :-1].float().mT, ids_BL[:, 1:], reduction="none")
    known_BL = shown_BL[:, :-1]
    return (losses_BL * known_BL).sum(dim=1) / known_BL.sum(dim=1)
