"""Where a token stands inside its unit, as a vector on the scale of the tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from architecture.layouts import Layout


def sincos(length: int, dim: int) -> Tensor:
    """Sine-cosine positions [length, dim] (Vaswani et al., 2017, arXiv 1706.03762), of mean square 1."""
    half = math.ceil(dim / 2)
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
    angles = torch.arange(length)[:, None] * frequencies
    return math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim]


def sincos_grid(shape: Sequence[int], dim: int) -> Tensor:
    """Sine-cosine positions [prod(shape), dim] of a grid in row-major order: each axis fills its share of `dim`."""
    share = math.ceil(dim / len(shape))
    axes = []
    for axis, length in enumerate(shape):
        view = [1] * len(shape) + [share]
        view[axis] = length
        axes.append(sincos(length, share).view(view).expand(*shape, share))
    return torch.cat(axes, dim=-1).reshape(-1, share * len(shape))[:, :dim]


class Positions(nn.Module):
    """Adds to every token a vector for its place.

    Args:
        shape: the places: (n,) in a row, or (rows, columns) of a grid in row-major order.
        dim: width of the tokens.
        kind: `learned`, drawn on the scale of the tokens and trained, or `sincos`, fixed.
    """

    def __init__(self, shape: Sequence[int], dim: int, kind: str) -> None:
        super().__init__()
        self.layouts = {"table_ND": Layout("grid" if len(shape) == 2 else "row")}
        self.table_ND: Tensor
        if kind == "learned":
            self.table_ND = nn.Parameter(torch.randn(math.prod(shape), dim))
        else:
            self.register_buffer("table_ND", sincos_grid(shape, dim), persistent=False)

    def forward(self, tokens_BND: Tensor, places_BN: Tensor | None = None) -> Tensor:
        """[B, N, D] to [B, N, D].

        Args:
            tokens_BND: of all places, in order.
            places_BN: the places of these tokens, where they are only some.
        """
        return tokens_BND + (self.table_ND if places_BN is None else self.table_ND[places_BN])
