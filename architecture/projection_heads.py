"""Heads that the baselines put on top of an encoder in training; evaluation does not use them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.batch_norm import BatchNorm1d


class Expander(nn.Module):
    """VICReg's projector: three layers of one width, BatchNorm after the first two (Bardes et al., 2022, 2105.04906).

    Args:
        in_dim: width of the features.
        dim: width of the three layers.
        batchnorm_momentum: share of a new batch in the running statistics.
    """

    def __init__(self, in_dim: int, dim: int, batchnorm_momentum: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, dim, bias=False),
            BatchNorm1d(dim, momentum=batchnorm_momentum),
            nn.ReLU(),
            nn.Linear(dim, dim, bias=False),
            BatchNorm1d(dim, momentum=batchnorm_momentum),
            nn.ReLU(),
            nn.Linear(dim, dim, bias=False),
        )

    def forward(self, features_ND: Tensor) -> Tensor:
        """[N, in_dim] to [N, dim], in float32 whatever the autocast; N >= 2 in training."""
        with torch.autocast(features_ND.device.type, enabled=False):
            projected: Tensor = self.layers(features_ND.float())
        return projected


class PrototypeHead(nn.Module):
    """DINO's head: an MLP, a normalised bottleneck, and its cosines with prototypes (Caron et al., 2021, 2104.14294).

    The prototypes are a linear layer whose weights are normalised: weight normalisation with lengths fixed at 1.

    Args:
        in_dim: width of the features.
        hidden_dim: width of the two hidden layers.
        bottleneck_dim: width of the bottleneck.
        out_dim: number of prototypes.
    """

    def __init__(self, in_dim: int, hidden_dim: int, bottleneck_dim: int, out_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        self.prototypes = nn.Linear(bottleneck_dim, out_dim, bias=False)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, features_ND: Tensor, *, train_prototypes: bool = True) -> Tensor:
        """The scores of all prototypes.

        Args:
            features_ND: [N, in_dim].
            train_prototypes: False keeps gradient from them.

        Returns:
            [N, out_dim] in [-1, 1], float32 whatever the autocast.
        """
        weight_KD = self.prototypes.weight if train_prototypes else self.prototypes.weight.detach()
        with torch.autocast(features_ND.device.type, enabled=False):
            bottleneck_ND = F.normalize(self.layers(features_ND.float()), dim=1)
            return F.linear(bottleneck_ND, F.normalize(weight_KD, dim=1))
