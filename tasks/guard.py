"""What keeps the units of a level from all becoming the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from architecture.heads import Projector
from config.losses import SIGReg, VICReg, VISReg
from losses import covariance_term, sigreg, variance_term, visreg


class CollapseGuard(nn.Module):
    """A regulariser of a level's units, which it sees through a projector of its own.

    Args:
        regularizer: which, and its numbers.
        dim: width of the units.
        batchnorm_momentum: of the projector.
    """

    def __init__(self, regularizer: VICReg | SIGReg | VISReg, dim: int, batchnorm_momentum: float) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.projector = Projector(dim, regularizer.proj_dim, batchnorm_momentum)
        self.recent = RecentVectors(regularizer.min_vectors, dim)

    def forward(self, units_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The weighted terms of [N, D] units; `generator`, on the CPU, draws random directions."""
        vectors_ND = self.recent.fill_up(units_ND)
        if len(vectors_ND) == 1:  # the first step of a batch of one: statistics, BatchNorm's too, need two
            vectors_ND = vectors_ND.expand(2, -1)
        projected_ND = self.projector(vectors_ND)
        regularizer = self.regularizer
        if isinstance(regularizer, VICReg):
            return {
                "variance": regularizer.variance * variance_term(projected_ND),
                "covariance": regularizer.covariance * covariance_term(projected_ND),
            }
        if isinstance(regularizer, SIGReg):
            return {"sigreg": regularizer.weight * sigreg(projected_ND, regularizer.num_slices, generator)}
        terms = visreg(projected_ND, regularizer.num_slices, generator)
        return {name: getattr(regularizer, name) * term for name, term in terms.items()}


class RecentVectors(nn.Module):
    """Fills a small batch up with the latest vectors, so that statistics stand on enough of them.

    Args:
        size: vectors wanted.
        dim: their width.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size = size
        self.store_SD: Tensor
        self.stored: Tensor
        self.register_buffer("store_SD", torch.zeros(size, dim))
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))

    def fill_up(self, vectors_ND: Tensor) -> Tensor:
        """[N, D] to [max(N, at most `size`), D]: the batch, then detached vectors of the latest steps."""
        vectors_ND = vectors_ND.float()
        if len(vectors_ND) >= self.size:
            return vectors_ND
        known_MD = self.store_SD[: int(self.stored)]
        filled = torch.cat([vectors_ND, known_MD])[: self.size]
        if self.training:
            size = len(filled)
            sound = filled.detach().isfinite().all()  # a step that is skipped must not spoil those that follow
            self.store_SD[:size] = torch.where(sound, filled.detach(), self.store_SD[:size])
            self.stored.copy_(torch.where(sound, size, self.stored))
        return filled
