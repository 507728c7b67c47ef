"""Up, down and side: how a level learns by predicting its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from architecture.heads import Predictor, Projector
from config.schema import Config, LevelName, SIGReg, VICReg, Weights
from losses import covariance_term, mse, patch_target, sigreg, summary_target, variance_term


class LevelObjective(nn.Module):
    """The predictors of one level and its guard against collapse.

    Args:
        config: the whole config.
        level: which level.
        units: units of this level in a window.
        children: units of the level below inside one unit.
        child_dim: width of the `down` target.
        parent_dim: width of the level above; None for the last level.
    """

    def __init__(
        self, config: Config, level: LevelName, *, units: int, children: int, child_dim: int, parent_dim: int | None
    ) -> None:
        super().__init__()
        numbers = config.level(level)
        self.weights = config.loss_weights.get(level, Weights())
        self.regularizer = config.regularizer
        self.unit_count, self.child_count = units, children
        self.child_target = patch_target if level == config.groups[0] else summary_target
        self.predictors = nn.ModuleDict()
        if self.weights.up and parent_dim is not None:
            self.predictors["up"] = Predictor(numbers.dim, numbers.pred_h_dim, parent_dim)
        if self.weights.down:
            self.predictors["down"] = Predictor(numbers.dim, numbers.pred_h_dim, child_dim, places=children)
        if self.weights.side and units > 1:
            self.predictors["side"] = Predictor(numbers.dim, numbers.pred_h_dim, numbers.dim, places=2 * units - 1)
        if isinstance(self.regularizer, VICReg | SIGReg):
            self.projector = Projector(numbers.dim, self.regularizer.proj_dim)
            self.recent = RecentVectors(self.regularizer.min_vectors, numbers.dim)

    def forward(
        self, own_BUD: Tensor, children_BUNE: Tensor, parents_BVF: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted loss terms of the level.

        Args:
            own_BUD: the level's summaries, with gradient.
            children_BUNE: what each unit is made of; a target.
            parents_BVF: summaries of the level above, V of which hold U units; a target.
            generator: draws what is random in a regulariser.
        """
        terms = {}
        if "up" in self.predictors and parents_BVF is not None:
            parents_BUF = parents_BVF.repeat_interleave(self.unit_count // parents_BVF.shape[1], dim=1)
            nowhere = torch.zeros(1, dtype=torch.int64, device=own_BUD.device)
            terms["up"] = self.weights.up * mse(self.predictors["up"](own_BUD, nowhere), summary_target(parents_BUF))
        if "down" in self.predictors:
            place_N = torch.arange(self.child_count, device=own_BUD.device)
            prediction_BUNE = self.predictors["down"](own_BUD[:, :, None], place_N)
            terms["down"] = self.weights.down * mse(prediction_BUNE, self.child_target(children_BUNE))
        if "side" in self.predictors:
            terms["side"] = self.weights.side * self._side(own_BUD)
        return terms | self._guard(own_BUD.flatten(0, 1), generator)

    def _side(self, own_BUD: Tensor) -> Tensor:
        """Every unit predicts every other unit of its window, given the signed distance in time."""
        time_U = torch.arange(self.unit_count, device=own_BUD.device)
        source_P, target_P = (time_U[:, None] != time_U).nonzero(as_tuple=True)
        prediction_BPD = self.predictors["side"](own_BUD[:, source_P], target_P - source_P + self.unit_count - 1)
        return mse(prediction_BPD, summary_target(own_BUD)[:, target_P])

    def _guard(self, own_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The regulariser's terms."""
        if not isinstance(self.regularizer, VICReg | SIGReg):
            return {}
        vectors_ND = self.recent.fill_up(own_ND)
        if len(vectors_ND) == 1:  # the first step of a batch of one: statistics, BatchNorm's too, need two
            vectors_ND = vectors_ND.expand(2, -1)
        projected = self.projector(vectors_ND)
        if isinstance(self.regularizer, VICReg):
            return {
                "variance": self.regularizer.variance * variance_term(projected),
                "covariance": self.regularizer.covariance * covariance_term(projected),
            }
        return {"sigreg": self.regularizer.weight * sigreg(projected, self.regularizer.num_slices, generator)}


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
            self.store_SD[: len(filled)] = filled.detach()
            self.stored.fill_(len(filled))
        return filled
