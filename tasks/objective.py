"""Up, down and side, and the same in another view: how a level learns from its neighbours and from itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.batch_statistics import mean
from architecture.heads import Predictor
from architecture.layouts import Layout
from config.schema import Config
from config.section import LevelName
from losses import mse
from parallel.batch_share import batch_windows, own_windows
from tasks.encoder_settings import HierarchySettings
from tasks.guard import CollapseGuard
from tasks.hierarchical_settings import Direction, HierarchicalSettings
from tasks.positions import draw_below, draw_other_times, other_time_probabilities
from tasks.regularizers import ProjectedRegularizer


@dataclass(frozen=True)
class Targets:
    """The targets of the units of one level: float32, normalised, in the order of time."""

    own_BUD: Tensor
    """The level's units."""
    below_BME: Tensor | None
    """The units of the level below, N inside each of the U units; None where there is no level below."""
    above_BVF: Tensor | None
    """The units of the level above; if that is causal, its states instead, without the last: the state at v has seen
    units 0 to v and nothing later, and unit v + 1 predicts it. None where there is no level above."""

    def of_another_window(self) -> Targets:
        """The same with the windows of the batch moved on by one, so that everything belongs to another window."""
        moved = (x if x is None else x.roll(1, dims=0) for x in (self.below_BME, self.above_BVF))
        return Targets(self.own_BUD.roll(1, dims=0), *moved)


@dataclass(frozen=True)
class LevelView:
    """One view of a batch of windows as one level learns from it."""

    own_BUD: Tensor
    """The level's summaries, with gradient."""
    states_BMD: Tensor | None
    """The states of all tokens of a causal level, with gradient; None for other levels."""
    targets: Targets
    """The targets of the units."""


class LevelObjective(nn.Module):
    """The predictors of one level and its guard against collapse.

    Args:
        config: the whole config.
        level: which of its groups.
    """

    def __init__(self, config: Config, level: LevelName) -> None:
        super().__init__()
        self.config, self.level, self.causal = config, level, config.causal(level)
        self.settings = config.section(HierarchicalSettings)
        self.weights = self.settings.weights_of(level)
        geometry = config.geometry
        self.units, self.tokens = geometry.units(level), geometry.tokens(level)
        self.rows, self.times = geometry.simultaneous(level), geometry.times(level)
        above = geometry.above(level)
        self.above_is_causal = above is not None and config.causal(above)
        self.predictors = self._build_predictors(above)
        if "side" in self.predictors:
            self.other_times_NN = other_time_probabilities(self.times, self.settings.std_divisor)
        self._register_centres()
        self.layouts = self._layouts()
        if isinstance(self.settings.regularizer, ProjectedRegularizer):
            self.guard = CollapseGuard(self.settings.regularizer, config.dim(level), config.batchnorm_momentum)

    def _build_predictors(self, above: str | None) -> nn.ModuleDict:
        """One per direction that has a weight and a neighbour."""
        config, level = self.config, self.level
        hidden = config.section(HierarchySettings).numbers(level).pred_h_dim
        dim = config.dim(level)
        build = partial(
            Predictor,
            dim,
            hidden,
            batchnorm_momentum=config.batchnorm_momentum,
            standardize=self.settings.standardize_predictors,
        )
        predictors = nn.ModuleDict()
        if self.weights.up and above is not None:
            predictors["up"] = build(config.dim(above))
        if self.weights.down and self.tokens:
            tables = (self.tokens,) if self.settings.use_temporal_prediction else (self.tokens, self.units)
            # A causal state always predicts the token after it, so there is no place to ask for.
            predictors["down"] = build(below_dim(config, level), () if self.causal else tables)
        if self.weights.side and self.times > 1 and self.settings.use_temporal_prediction:
            # Distances in time run from -(times - 1) to times - 1: one embedding for each.
            predictors["side"] = build(dim, (2 * self.times - 1,))
        return predictors

    def _layouts(self) -> dict[str, Layout]:
        """By name, which tensors of the predictors stand for places, and how; those that are not there do no harm."""
        is_frame = self.level == "space"
        layouts = {
            "predictors.down.places.0.weight": Layout("grid" if is_frame else "row"),
            "predictors.down.places.1.weight": Layout("row"),
            "predictors.side.places.0.weight": Layout("distances"),
        }
        if is_frame and self.settings.down_target == "pixels":
            of_pixels = ("predictors.down.out.2.weight", "predictors.down.out.2.bias", "down_centre_D")
            layouts |= dict.fromkeys(of_pixels, Layout("patch_out"))
        return layouts

    def _register_centres(self) -> None:
        """The running mean of each direction's targets, where the loss takes one off (DINO, arXiv 2104.14294)."""
        self.centre_momentum = self.settings.loss.momentum_of_centre
        if self.centre_momentum is not None:
            for direction, predictor in self.predictors.items():
                width = predictor.out[-1].out_features  # type: ignore[index, union-attr]
                self.register_buffer(f"{direction}_centre_D", torch.zeros(width))

    def forward(
        self, views: Sequence[LevelView], generator: torch.Generator, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The weighted loss terms of the level: a term per predictor, the invariance, and those of the regulariser.

        Args:
            views: one or two, of the same windows; a term is the mean over the views.
            generator: on the CPU; draws targets, and what is random in a regulariser.
            progress: share of the training that is done, in [0, 1].
        """
        pairs = [self.predict(view, generator) for view in views]
        terms: dict[str, Tensor] = {}
        for direction in pairs[0]:
            loss = self._loss(direction, [of_view[direction] for of_view in pairs])
            terms[direction] = self.weight(direction, progress) * loss
        if not isinstance(self.settings.regularizer, ProjectedRegularizer):
            return terms
        invariance = self.weight("invariance", progress)
        units = [view.own_BUD.flatten(0, 1) for view in views]
        guard_terms: dict[str, Tensor] = self.guard(units, invariance, generator)
        return terms | guard_terms

    def weight(self, direction: Direction | Literal["invariance"], progress: float) -> float:
        """The weight of a direction, which may be on a straight line to 1."""
        weight: float = getattr(self.weights, direction)
        # A weight of 0 stays 0: the direction has no predictor that could be switched on later.
        if weight and self.settings.interpolate_loss_weights_to_uniformity:
            return weight + (1 - weight) * progress
        return weight

    def predict(self, view: LevelView, generator: torch.Generator) -> dict[Direction, tuple[Tensor, Tensor]]:
        """By direction the predictions [..., E] and what they should be, of the same shape.

        Both begin with the axis of windows. Draws the same positions from the same state of the generator.
        """
        own_BUD, states_BMD, targets = view.own_BUD, view.states_BMD, view.targets
        pairs: dict[Direction, tuple[Tensor, Tensor]] = {}
        if "up" in self.predictors and targets.above_BVF is not None:
            pairs["up"] = self._up(own_BUD, targets.above_BVF)
        if "down" in self.predictors and targets.below_BME is not None:
            if states_BMD is not None:  # every state predicts the next token, across the borders of units
                pairs["down"] = self.predictors["down"](states_BMD[:, :-1]), targets.below_BME[:, 1:]
            else:
                pairs["down"] = self._down(own_BUD, targets.below_BME, generator)
        if "side" in self.predictors:
            pairs["side"] = self._side(own_BUD, targets.own_BUD, generator)
        return pairs

    def _up(self, own_BUD: Tensor, above_BVF: Tensor) -> tuple[Tensor, Tensor]:
        """Every unit predicts the one that it is part of; below a causal level, the state before it."""
        if self.above_is_causal:
            # The state before a unit has not seen it, so copying is not enough. The first unit has no state before it.
            return self.predictors["up"](own_BUD[:, 1:]), above_BVF
        return self.predictors["up"](own_BUD), above_BVF.repeat_interleave(self.units // above_BVF.shape[1], dim=1)

    def _down(self, own_BUD: Tensor, below_BME: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every unit predicts units below, given where they are: [B, U, K, E], K of them each."""
        anywhere = not self.settings.use_temporal_prediction
        everything = self.settings.down_targets == "all"
        draws = self._draws(len(own_BUD))
        index_BUK = draw_below(
            self.units, self.tokens, draws, anywhere=anywhere, everything=everything, generator=generator
        )
        index_BUK = own_windows(index_BUK).to(own_BUD.device)
        places = (index_BUK % self.tokens, index_BUK // self.tokens) if anywhere else (index_BUK % self.tokens,)
        prediction_BUKE = self.predictors["down"](own_BUD[:, :, None], *places)
        return prediction_BUKE, take(below_BME, index_BUK.flatten(1)).unflatten(1, (self.units, -1))

    def _side(self, own_BUD: Tensor, target_BUD: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every unit predicts one at another time, given the signed distance; a patch one at its own place."""
        draws = self._draws(len(own_BUD))
        # Patches at the same place form one row in time; each row gets its own draw, other levels have a single row.
        drawn = draw_other_times(self.other_times_NN, draws * self.rows, generator)
        drawn_BRT = own_windows(drawn.unflatten(0, (draws, self.rows)))
        time_BTR = drawn_BRT.to(own_BUD.device).transpose(1, 2)
        distance_BTR = time_BTR - torch.arange(self.times, device=own_BUD.device)[:, None]
        index_BTR = time_BTR * self.rows + torch.arange(self.rows, device=own_BUD.device)
        # Shifted, so that the most negative distance is number 0 of the table.
        prediction_BUD = self.predictors["side"](own_BUD, distance_BTR.flatten(1) + self.times - 1)
        return prediction_BUD, take(target_BUD, index_BTR.flatten(1))

    def _draws(self, windows: int) -> int:
        """Number of independent draws: one per window of the whole batch, or a single one shared by it."""
        return batch_windows(windows) if self.settings.positions == "per_sample" else 1

    def _loss(self, direction: Direction, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The prediction loss, unweighted, as the mean over the views' pairs of prediction and target.

        All views meet the same centre; training moves it afterwards, as DINO does.
        """
        centre_D: Tensor | None = None if self.centre_momentum is None else getattr(self, f"{direction}_centre_D")
        losses = [self.settings.loss(*pair, centre_D) for pair in pairs]
        if self.training and self.centre_momentum is not None and centre_D is not None:
            means = [mean(target.detach().float().flatten(0, -2)) for _, target in pairs]
            mean_D = torch.stack(means).mean(dim=0)
            sound = mean_D.isfinite().all()  # a step that is skipped must not spoil those that follow
            centre_D.copy_(torch.where(sound, centre_D.lerp(mean_D, 1 - self.centre_momentum), centre_D))
        return torch.stack(losses).mean()

    @torch.no_grad()
    def errors(self, view: LevelView, seed: int) -> dict[str, tuple[float, float]]:
        """By direction, the mean squared errors against the targets and against those of another window.

        Both are asked for the same positions, so that knowing the place helps neither. Losses that leave the scale of a
        prediction free are judged by directions alone.

        Args:
            view: of two windows or more.
            seed: of the positions that are drawn.
        """
        of_another = replace(view, targets=view.targets.of_another_window())
        own = self.predict(view, torch.Generator().manual_seed(seed))
        other = self.predict(of_another, torch.Generator().manual_seed(seed))
        scale_free = self.settings.loss.scale_free

        def error(prediction: Tensor, target: Tensor) -> float:
            if scale_free:
                prediction, target = F.normalize(prediction.float(), dim=-1), F.normalize(target.float(), dim=-1)
            return float(mse(prediction, target))

        return {direction: (error(*own[direction]), error(*other[direction])) for direction in own}


def below_dim(config: Config, level: LevelName) -> int:
    """Width of what `level` predicts downwards: the units below, for `space` a patch's pixels or its token."""
    if level == "space" and config.section(HierarchicalSettings).down_target == "pixels":
        return 3 * config.section(HierarchySettings).patch_size ** 2
    return config.dim(config.geometry.below(level))


def take(vectors_BMD: Tensor, index_BK: Tensor) -> Tensor:
    """[B, M, D] to [B, K, D]: the vectors at `index_BK`, which may be [1, K] and goes for all windows then."""
    return vectors_BMD.take_along_dim(index_BK[..., None], dim=1)
