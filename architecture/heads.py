"""The small networks around a level: what predicts its neighbours, and what its regulariser looks at."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Predictor(nn.Module):
    """Turns a summary, and the place of what is asked for, into a prediction: an MLP with one hidden layer.

    Args:
        in_dim: width of the summary.
        hidden_dim: width of the hidden layer.
        out_dim: width of the target.
        places: number of places that can be asked for; 1 where there is only one.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, places: int = 1) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_dim, hidden_dim)
        self.place_embedding = nn.Embedding(places, hidden_dim)
        self.out = nn.Sequential(nn.LayerNorm(hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim))

    def forward(self, summaries_BD: Tensor, places: Tensor) -> Tensor:
        """Predicts the units at `places`.

        Args:
            summaries_BD: [..., in_dim].
            places: int64, of a shape that broadcasts with [...].

        Returns:
            [..., out_dim] in the broadcast shape.
        """
        prediction: Tensor = self.out(self.hidden(summaries_BD) + self.place_embedding(places))
        return prediction


class Projector(nn.Module):
    """The BatchNorm projector that the regulariser looks through (VICReg, Bardes et al., 2022, arXiv 2105.04906)."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, dim, bias=False), nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim)
        )

    def forward(self, summaries_ND: Tensor) -> Tensor:
        """[N, in_dim] to [N, dim], in float32 whatever the autocast."""
        with torch.autocast(summaries_ND.device.type, enabled=False):
            projected: Tensor = self.layers(summaries_ND.float())
        return projected
