"""A level: the module that turns units into the larger units that they make up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from architecture.blocks import Block
from architecture.positions import Positions
from architecture.tubelets import take


class Level(nn.Module):
    """Space, time and clip are this class with other numbers.

    The summary of a unit is a CLS token that sees all tokens. A causal level has none: its tokens see themselves and
    those before them, and each predicts the next one, in the order of time and across the borders of units. There the
    summary is the last state that has something to predict, since a state without supervision is never trained to be
    of use: the last one where the first token of the next unit follows it, the one before it where a window has but one
    unit. (The last unit of several has no successor either, but its last state is made as those of the others are.)

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
        stochastic_depth: chance of a unit to skip the last block; that of block l of L is l / L of it.
        causal_mask: whether the level is causal; a unit needs two tokens then.
        checkpointing: whether training keeps the input of each block alone and computes the block once more in
            backward, dropout included (Chen et al., 2016, arXiv 1604.06174).
        single_unit: whether a window holds one unit of the level, whose last state has nothing to predict.
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
        stochastic_depth: float,
        causal_mask: bool,
        single_unit: bool,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.dim, self.causal, self.checkpointing = dim, causal_mask, checkpointing
        self.summary_position = -2 if single_unit else -1  # among the states of a causal level
        # The projection into a level belongs to that level: its loss trains it, the level below never does.
        self.project = nn.Linear(in_dim, dim)
        self.positions = Positions(shape, dim, position_embedding)
        if not causal_mask:
            self.summary_token_D = nn.Parameter(torch.randn(dim))
        self.blocks = nn.ModuleList(
            Block(dim, heads, head_dim, mlp_dim, dropout, causal=causal_mask, skip=stochastic_depth * number / layers)
            for number in range(1, layers + 1)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens_BGND: Tensor, keep_BGK: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Summarises G units of N tokens each, every unit by itself.

        Args:
            tokens_BGND: [B, G, N, in_dim], in the order of time.
            keep_BGK: the numbers of the tokens of each unit that take part, ascending; None: all.

        Returns:
            summaries [B, G, dim], and what has become of all tokens [B, G, N, dim], or of the K that took part; those
            of a causal level are its states, of which the summary is one.
        """
        units = tokens_BGND.shape[:2]
        # Units become the batch: attention sees the tokens of one unit and nothing else, so no information can leak.
        tokens = self.positions(self.project(tokens_BGND).flatten(0, 1))
        if keep_BGK is not None:  # each at its own place
            tokens = take(tokens, keep_BGK.flatten(0, 1))
        if not self.causal:
            tokens = torch.cat([self.summary_token_D.to(tokens.dtype).expand(tokens.shape[0], 1, -1), tokens], dim=1)
        for block in self.blocks:
            recomputes = self.checkpointing and self.training and torch.is_grad_enabled()
            tokens = checkpoint(block, tokens, use_reentrant=False) if recomputes else block(tokens)
        if self.causal:
            states_BGND = self.norm(tokens).unflatten(0, units)
            return states_BGND[:, :, self.summary_position], states_BGND
        # Normalised apart: together, gradients of the norm's weights would be summed in another order, and tokens that
        # nobody uses would take part in the backward pass.
        return self.norm(tokens[:, 0]).unflatten(0, units), self.norm(tokens[:, 1:]).unflatten(0, units)
