"""Where a token stands inside its unit, as a vector on the scale of the tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

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

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        return tokens_BND + self.table_ND


class FixedPositions(nn.Module):
    """Adds fixed sine-cosine positions to the tokens of a grid of times, rows and columns, or to some of them.

    Of amplitude 1, as MAE (He et al., 2022, arXiv 2111.06377) and VideoMAE (Tong et al., 2022, arXiv 2203.12602) have
    them. They are computed for the grid, not stored: weights load whatever the grid.

    Args:
        grid: times, rows and columns.
        dim: width of the tokens.
        axes: what a position is made of. `1d`: the token's number; `2d`: row and column, the same at all times; `3d`:
            time, row and column.
    """

    def __init__(self, grid: tuple[int, int, int], dim: int, axes: Literal["1d", "2d", "3d"]) -> None:
        super().__init__()
        shape = {"1d": (math.prod(grid),), "2d": grid[1:], "3d": grid}[axes]
        table_ND = sincos_grid(shape, dim) / math.sqrt(2)
        if axes == "2d":
            table_ND = table_ND.repeat(grid[0], 1)
        self.table_ND: Tensor
        self.register_buffer("table_ND", table_ND, persistent=False)

    def forward(self, tokens_BKD: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """[B, K, D] to [B, K, D].

        Args:
            tokens_BKD: all tokens of a grid, or with `keep_BK` some. A grid of fewer times (an image's) has the first.
            keep_BK: the numbers of the tokens.
        """
        places = self.table_ND[: tokens_BKD.shape[1]] if keep_BK is None else self.table_ND[keep_BK]
        return tokens_BKD + places.to(tokens_BKD.dtype)
