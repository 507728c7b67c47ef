"""A level: the module that turns units into the larger units that they make up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from architecture.blocks import Block
from architecture.positions import Positions


class Level(nn.Module):
    """Space, time and clip are this class with other numbers.

    Args:
        in_dim: width of the tokens that come in.
        shape: places of a unit's tokens: (rows, columns) of patches, (n,) frames or clips.
        dim: width of the level.
        layers: transformer blocks.
        heads: attention heads.
        head_dim: width of a head.
        mlp_dim: hidden width of a block's MLP.
        dropout: after attention and MLP.
        position_embedding: `learned` or `sincos`.
    """

    def __init__(
        self,
        in_dim: int,
        shape: Sequence[int],
        *,
        dim: int,
        layers: int,
        heads: int,
        head_dim: int,
        mlp_dim: int,
        dropout: float,
        position_embedding: str,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(in_dim, dim)
        self.positions = Positions(shape, dim, position_embedding)
        self.summary_token_D = nn.Parameter(torch.randn(dim))
        self.blocks = nn.ModuleList(Block(dim, heads, head_dim, mlp_dim, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens_BGND: Tensor) -> Tensor:
        """Summarises G units of N tokens each, every unit by itself.

        Args:
            tokens_BGND: [B, G, N, in_dim].

        Returns:
            summaries [B, G, dim], the CLS token of each unit.
        """
        batch, units = tokens_BGND.shape[:2]
        tokens = self.positions(self.project(tokens_BGND).flatten(0, 1))
        tokens = torch.cat([self.summary_token_D.to(tokens.dtype).expand(len(tokens), 1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        summaries_BGD: Tensor = self.norm(tokens[:, 0]).unflatten(0, (batch, units))
        return summaries_BGD
