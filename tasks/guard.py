"""Keeps the units of a level from all becoming the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from architecture.batch_statistics import count, gathered
from architecture.heads import Projector
from losses import mse
from parallel.batch_share import sharing
from tasks.regularizers import ProjectedRegularizer


class CollapseGuard(nn.Module):
    """What a level's units are seen through by a regulariser, and by the invariance that would make them all alike.

    Args:
        regularizer: which, and its numbers.
        dim: width of the units.
        batchnorm_momentum: of the projector.
    """

    def __init__(self, regularizer: ProjectedRegularizer, dim: int, batchnorm_momentum: float) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.projector = Projector(dim, regularizer.proj_dim, batchnorm_momentum)
        self.recent = RecentVectors(regularizer.min_vectors, dim)

    def forward(self, views_ND: Sequence[Tensor], invariance: float, generator: torch.Generator) -> dict[str, Tensor]:
        """The weighted terms of a level.

        Args:
            views_ND: [N, D] units of each view, in the same order; one view or two.
            invariance: weight of the distance of the two; VICReg's (Bardes et al., 2022, arXiv 2105.04906), with
                gradient into both.
            generator: on the CPU; draws random directions.
        """
        if count(views_ND[0]) >= self.recent.size:
            return self._terms(views_ND, invariance, generator)
        # What is remembered belongs to no process: of few vectors, each computes what is made of all.
        whole_ND = [gathered(view_ND) for view_ND in views_ND]
        with sharing(None):
            return self._terms(whole_ND, invariance, generator)

    def _terms(self, views_ND: Sequence[Tensor], invariance: float, generator: torch.Generator) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        projected = []
        for vectors_ND in self.recent.fill_up(views_ND):
            if count(vectors_ND) == 1:  # the first step of a batch of one: statistics, BatchNorm's too, need two
                vectors_ND = vectors_ND.expand(2, -1)
            # Each view by itself, as two branches of a siamese network: together, BatchNorm's statistics would tell
            # one view what the other is.
            projected.append(self.projector(vectors_ND))
        if invariance and len(views_ND) > 1:
            units = len(views_ND[0])
            terms["invariance"] = invariance * mse(projected[0][:units], projected[1][:units])
        for projected_ND in projected:
            for name, term in self.regularizer.terms(projected_ND, generator).items():
                share = term / len(projected)
                terms[name] = terms[name] + share if name in terms else share
        return terms


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

    def fill_up(self, views_ND: Sequence[Tensor]) -> list[Tensor]:
        """Each view [N, D] to [max(N, at most `size`), D]: its vectors, then detached ones of the latest steps."""
        vectors = [view_ND.float() for view_ND in views_ND]
        if count(vectors[0]) >= self.size:
            return vectors
        known_MD = self.store_SD[: int(self.stored)]
        filled = [torch.cat([view_ND, known_MD])[: self.size] for view_ND in vectors]
        if self.training:
            latest_MD = torch.cat([*vectors, known_MD])[: self.size].detach()
            size = len(latest_MD)
            sound = latest_MD.isfinite().all()  # a step that is skipped must not spoil those that follow
            self.store_SD[:size] = torch.where(sound, latest_MD, self.store_SD[:size])
            self.stored.copy_(torch.where(sound, size, self.stored))
        return filled
