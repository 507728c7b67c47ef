"""Standardises a level's input by what it was in earlier steps, so that no frame ever sees another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningNorm(nn.Module):
    """(x - mean) / std per feature, with running statistics of the batches before this one.

    Summaries of an untrained level are nearly all alike (their std is a few percent of their size), so what tells
    them apart would drown level by level. BatchNorm would mend that, but with the statistics of the very batch it lets
    frames see each other. Here the batch at hand is normalised by those of earlier ones, and counted afterwards.

    Args:
        dim: width of the tokens.
        momentum: of the running statistics; the first batches are averaged evenly.
    """

    def __init__(self, dim: int, momentum: float = 0.05) -> None:
        super().__init__()
        self.momentum = momentum
        self.mean_D: Tensor
        self.variance_D: Tensor
        self.batches: Tensor
        self.register_buffer("mean_D", torch.zeros(dim))
        self.register_buffer("variance_D", torch.ones(dim))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, tokens_ND: Tensor) -> Tensor:
        """[..., dim] to [..., dim]."""
        normalised = (tokens_ND.float() - self.mean_D) / (self.variance_D + 1e-6).sqrt()
        if self.training:
            self._count(tokens_ND)
        return normalised.to(tokens_ND.dtype)

    @torch.no_grad()
    def _count(self, tokens_ND: Tensor) -> None:
        vectors_ND = tokens_ND.detach().float().flatten(0, -2)
        self.batches += 1
        weight = (1 / self.batches).clamp(min=self.momentum)
        # New tensors, not in place: the graph of this step still needs the old ones.
        self.mean_D = self.mean_D.lerp(vectors_ND.mean(dim=0), weight)
        self.variance_D = self.variance_D.lerp(vectors_ND.var(dim=0, correction=0), weight)
