"""How far off predictions are by what they are of: by the distance in time, and by the place in the frame or in time.

The losses are means over all of it. Here every unit is asked for everything that its predictors can be asked for, in
evaluation mode and without gradient; training does not come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.objective import LevelObjective, LevelView, take
from tasks.positions import draw_below

Over = Literal["distance", "unit", "place", "token"]
"""`distance`: signed, in times of the level; `unit`: the times of the level's own units; `place`: the patches of a
frame, row-major; `token`: the units below inside one unit, in the order of time."""


@dataclass(frozen=True)
class ErrorMap:
    """The mean squared error of one direction, by what was asked for, beside the same against another window."""

    direction: str
    """`up`, `down`, `side`, or `other view`."""
    over: Over
    at_N: Tensor
    """int64; of each error, the distance or the number of the place. Ascending."""
    own_N: Tensor
    """Against the window's own targets."""
    count_N: Tensor
    """int64; predictions of a window that each error is the mean of."""
    other_N: Tensor
    """Against those of another window, for the same positions: what a prediction is off that knows nothing of the
    window."""


@dataclass(frozen=True)
class _Asked:
    """Predictions with what they should be, and by what the errors are told apart."""

    prediction: Tensor
    """[B, ..., E]."""
    own: Tensor
    other: Tensor
    at: dict[Over, Tensor]
    """Int64, of a shape that broadcasts with [...]."""


def error_maps(objective: LevelObjective, view: LevelView) -> list[ErrorMap]:
    """The errors of all directions of a level.

    Losses that leave the scale of a prediction free are judged by directions alone.

    Args:
        objective: of the level, in evaluation mode.
        view: of two windows or more; another window's targets are those of the window before.
    """
    targets, moved = view.targets, view.targets.of_another_window()
    found: list[ErrorMap] = []
    if "up" in objective.predictors and targets.above_BVF is not None:
        own, other = (replace(view, targets=aims) for aims in (targets, moved))
        found += _maps(objective, "up", [_up(objective, own, other)])
    if "down" in objective.predictors and targets.below_BME is not None:
        found += _maps(objective, "down", [_down(objective, view, moved.below_BME)])
    if "side" in objective.predictors:
        distances = [distance for distance in range(1 - objective.times, objective.times) if distance]
        found += _maps(objective, "side", [_side(objective, view, moved.own_BUD, distance) for distance in distances])
    return found


def view_distances(objective: LevelObjective, views: Sequence[Tensor]) -> list[ErrorMap]:
    """How far the units of a level are from themselves in the other view.

    Args:
        objective: of the level.
        views: of the same windows, the units as targets [B, U, D]; without two of them there is nothing to compare.
    """
    if len(views) < 2:
        return []
    first, second = views
    asked = _Asked(first, second, second.roll(1, dims=0), _unit_places(objective, first.shape[1]))
    return _maps(objective, "other view", [asked])


def predicted_inside(objective: LevelObjective, view: LevelView) -> Tensor:
    """What every unit predicts of the units inside it: [B, U, N, E]; nan where nothing is predicted.

    Args:
        objective: of a level that predicts down, in evaluation mode.
        view: of windows.
    """
    predictor, tokens = objective.predictors["down"], objective.tokens
    if view.states_BMD is not None:  # nothing comes before the very first token, which could predict it
        predicted = predictor(view.states_BMD[:, :-1])
        whole: Tensor = F.pad(predicted, (0, 0, 1, 0), value=torch.nan).unflatten(1, (-1, tokens))
        return whole
    place_N = torch.arange(tokens, device=view.own_BUD.device)
    unit_U1 = torch.arange(objective.units, device=view.own_BUD.device)[:, None]
    places = (place_N,) if objective.settings.use_temporal_prediction else (place_N, unit_U1)
    inside: Tensor = predictor(view.own_BUD[:, :, None], *places)
    return inside


def _up(objective: LevelObjective, own: LevelView, other: LevelView) -> _Asked:
    """Every unit predicts the one that it is part of; below a causal level, the state before it."""
    assert own.targets.above_BVF is not None
    assert other.targets.above_BVF is not None
    prediction, target = objective._up(own.own_BUD, own.targets.above_BVF)
    _, moved = objective._up(other.own_BUD, other.targets.above_BVF)
    first = objective.units - prediction.shape[1]
    at = {name: places[first:] for name, places in _unit_places(objective, objective.units).items()}
    return _Asked(prediction, target, moved, at)


def _unit_places(objective: LevelObjective, units: int) -> dict[Over, Tensor]:
    """Where each unit stands: [U]."""
    number_U = torch.arange(units)
    places: dict[Over, Tensor] = {"unit": number_U // objective.rows}
    return places | ({"place": number_U % objective.rows} if objective.rows > 1 else {})


def _down(objective: LevelObjective, view: LevelView, moved_BME: Tensor | None) -> _Asked:
    """Every unit predicts all units below that it can be asked for; every state of a causal level the next token."""
    below_BME, over = view.targets.below_BME, _below(objective)
    assert below_BME is not None
    assert moved_BME is not None
    if view.states_BMD is not None:
        prediction = objective.predictors["down"](view.states_BMD[:, :-1])
        number_M = torch.arange(1, below_BME.shape[1])
        return _Asked(prediction, below_BME[:, 1:], moved_BME[:, 1:], {over: number_M % objective.tokens})
    anywhere = not objective.settings.use_temporal_prediction
    index_1UK = draw_below(
        objective.units, objective.tokens, 1, anywhere=anywhere, everything=True, generator=torch.Generator()
    )
    index = index_1UK.to(below_BME.device)
    places = (index % objective.tokens, index // objective.tokens) if anywhere else (index % objective.tokens,)
    prediction = objective.predictors["down"](view.own_BUD[:, :, None], *places)
    own, other = (take(aims, index.flatten(1)).unflatten(1, index.shape[1:]) for aims in (below_BME, moved_BME))
    return _Asked(prediction, own, other, {over: index_1UK[0] % objective.tokens})


def _below(objective: LevelObjective) -> Over:
    return "place" if objective.level == "space" else "token"


def _side(objective: LevelObjective, view: LevelView, moved_BUD: Tensor, distance: int) -> _Asked:
    """Every unit predicts the one `distance` later, at its own place in the frame, where there is one."""
    rows, times = objective.rows, objective.times
    first, end = max(0, -distance) * rows, (times - max(0, distance)) * rows
    asked, wanted = slice(first, end), slice(first + distance * rows, end + distance * rows)
    prediction = objective.predictors["side"](
        view.own_BUD[:, asked], torch.full((1,), distance + times - 1, device=view.own_BUD.device)
    )
    number_U = torch.arange(first, end)
    at: dict[Over, Tensor] = {"distance": torch.full_like(number_U, distance)}
    if rows > 1:
        at["place"] = number_U % rows
    return _Asked(prediction, view.targets.own_BUD[:, wanted], moved_BUD[:, wanted], at)


def _maps(objective: LevelObjective, direction: str, asked: Sequence[_Asked]) -> list[ErrorMap]:
    """A map for everything that the errors are told apart by."""
    error = _angle_error if objective.settings.loss.scale_free else _squared_error
    pairs = [(error(each.prediction, each.own), error(each.prediction, each.other)) for each in asked]
    maps = []
    for over in asked[0].at:
        at = torch.cat([each.at[over].expand(own.shape).flatten() for each, (own, _) in zip(asked, pairs, strict=True)])
        numbers_N, group = at.unique(return_inverse=True)
        means = [_means(torch.cat([pair[side].flatten() for pair in pairs]), group, len(numbers_N)) for side in (0, 1)]
        count_N = torch.bincount(group, minlength=len(numbers_N))
        maps.append(ErrorMap(direction, over, numbers_N, means[0], count_N, means[1]))
    return maps


def _squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean over windows and dimensions: [B, ..., E] to [...], on the CPU."""
    return (prediction.float() - target.float()).square().mean(dim=(0, -1)).cpu()


def _angle_error(prediction: Tensor, target: Tensor) -> Tensor:
    return _squared_error(F.normalize(prediction.float(), dim=-1), F.normalize(target.float(), dim=-1))


def _means(values_M: Tensor, group_M: Tensor, groups: int) -> Tensor:
    """The mean of each group, float64."""
    sums = torch.zeros(groups, dtype=torch.float64).index_add_(0, group_M, values_M.double())
    return sums / torch.bincount(group_M, minlength=groups)
