"""The small transformer that predicts what was hidden from an encoder, and is thrown away after the training."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from architecture.geometry import Grid3
from architecture.layouts import Layout
from architecture.positions import FixedPositions
from architecture.tubelets import take
from architecture.vit_blocks import MLP, Norm, ViTBlock, init_token, init_xavier, make_norm


class MaskedDecoder(nn.Module):
    """The asymmetric decoder of a masked autoencoder (MAE, He et al., 2022, arXiv 2111.06377).

    Tokens that an encoder has made of what it was shown are projected, a learned token takes every place that was
    hidden, positions are added, and blocks mix them all; a linear head reads numbers off.

    `forward` does all of that. A task that adds something on the way calls its parts: `whole`, `mix`, `head`.

    Args:
        in_dim: width of the encoder's tokens.
        grid: times, rows and columns of all tokens.
        out_dim: numbers that are predicted of each.
        dim: width of the decoder.
        layers: transformer blocks.
        heads: attention heads.
        mlp_dim: hidden width of a block's MLP.
        positions: `1d`, `2d` or `3d`: see `FixedPositions`.
        norm: `layer` or `rms`.
        mlp: `gelu` or `swiglu`.
        qkv_bias: whether queries, keys and values have a bias.
        layer_scale: initial factor of what a branch adds; None: without LayerScale.
        channels: numbers of a pixel, where the head predicts the pixels of a square patch.
    """

    def __init__(
        self,
        in_dim: int,
        grid: Grid3,
        out_dim: int,
        *,
        dim: int,
        layers: int,
        heads: int,
        mlp_dim: int,
        positions: Literal["1d", "2d", "3d"] = "3d",
        norm: Norm = "layer",
        mlp: MLP = "gelu",
        qkv_bias: bool = True,
        layer_scale: float | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.layouts = {name: Layout("patch_out", channels) for name in ("head.weight", "head.bias")}
        self.project = nn.Linear(in_dim, dim)
        self.hidden_D = nn.Parameter(torch.zeros(dim))
        self.positions = FixedPositions(grid, dim, positions)
        numbers = {"norm": norm, "mlp": mlp, "qkv_bias": qkv_bias, "layer_scale": layer_scale}
        self.blocks = nn.ModuleList(ViTBlock(dim, heads, mlp_dim, **numbers) for _ in range(layers))  # type: ignore[arg-type]
        self.norm = make_norm(norm, dim)
        self.head = nn.Linear(dim, out_dim)
        self.apply(init_xavier)
        init_token(self.hidden_D)

    def forward(
        self,
        tokens_BKD: Tensor,
        keep_BK: Tensor,
        number: int,
        asked_BM: Tensor | None = None,
        beside_BLD: Tensor | None = None,
    ) -> Tensor:
        """Predictions [B, M, out_dim] of the tokens `asked_BM`, or [B, N, out_dim] of all.

        Args:
            tokens_BKD: of the encoder, those that were shown.
            keep_BK: their numbers in the grid.
            number: of all tokens, N.
            asked_BM: numbers of those that are predicted; None: all.
            beside_BLD: further tokens, of the decoder's width, that all see and that have no place in the grid (an
                encoder's CLS token, projected).
        """
        tokens = self.whole(tokens_BKD, keep_BK, number)
        if beside_BLD is not None:
            tokens = torch.cat([tokens, beside_BLD.to(tokens.dtype)], dim=1)
        mixed = self.mix(tokens)[:, :number]
        predicted: Tensor = self.head(mixed if asked_BM is None else take(mixed, asked_BM))
        return predicted

    def whole(self, tokens_BKD: Tensor, keep_BK: Tensor, number: int) -> Tensor:
        """The grid with a token at every place: [B, N, dim], positions included.

        Args:
            tokens_BKD: of the encoder, those that were shown.
            keep_BK: their numbers.
            number: of all tokens, N.
        """
        projected_BKD = self.project(tokens_BKD)
        blank_BND = self.hidden_D.to(projected_BKD.dtype).expand(len(keep_BK), number, -1)
        index_BKD = keep_BK[..., None].expand(-1, -1, projected_BKD.shape[-1])
        placed_BND: Tensor = self.positions(blank_BND.scatter(1, index_BKD, projected_BKD))
        return placed_BND

    def mix(self, tokens_BND: Tensor, shown: Tensor | None = None) -> Tensor:
        """All blocks and the last norm: [B, N, dim] to [B, N, dim]; `shown`: see `JointAttention.forward`."""
        for block in self.blocks:
            tokens_BND = block(tokens_BND, shown)
        normed_BND: Tensor = self.norm(tokens_BND)
        return normed_BND
