"""Where the units stand that are to be predicted: drawn for a whole batch at once, by a given generator."""

from __future__ import annotations

import torch
from torch import Tensor


def other_time_probabilities(times: int, std_divisor: float) -> Tensor:
    """How likely a unit at time p predicts the one at time j of its level: [times, times], float64, row p.

    The mass between j - 1/2 and j + 1/2 of a normal around p with standard deviation max(p, times - p) / std_divisor,
    0 for j = p, and all that falls outside of 0 to times - 1 left out: rows sum to 1.

    Args:
        times: units beside each other in time, at least 2.
        std_divisor: above 0; the larger, the nearer the targets.
    """
    time_N = torch.arange(times, dtype=torch.float64)
    std_N1 = torch.maximum(time_N, times - time_N)[:, None] / std_divisor
    distance_NN = (time_N[:, None] - time_N).abs()
    # The mass is a difference of two tails, as logarithms: far out, both tails themselves would round to 0.
    near_NN = torch.special.log_ndtr((0.5 - distance_NN) / std_N1)
    far_NN = torch.special.log_ndtr((-0.5 - distance_NN) / std_N1)
    log_mass_NN = near_NN + torch.log1p(-torch.exp(far_NN - near_NN))
    probabilities_NN: Tensor = log_mass_NN.masked_fill(distance_NN == 0, -torch.inf).softmax(dim=1)
    return probabilities_NN


def draw_other_times(probabilities_NN: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """For each of `draws` rows of units, at which time each unit's target is: int64 [draws, N], never its own time.

    Args:
        probabilities_NN: see `other_time_probabilities`.
        draws: how many rows, each drawn by itself.
        generator: on the CPU.
    """
    return torch.multinomial(probabilities_NN, draws, replacement=True, generator=generator).T


def draw_below(
    units: int, tokens: int, draws: int, *, anywhere: bool, everything: bool, generator: torch.Generator
) -> Tensor:
    """Which units of the level below each unit predicts: int64 [draws, units, K], numbered through the window.

    Unit g holds those from g * tokens to (g + 1) * tokens - 1.

    Args:
        units: of the level in a window.
        tokens: units of the level below inside one of them.
        draws: how many windows are drawn for.
        anywhere: any unit below in the window can be a target, not only those inside the unit.
        everything: all that can be, without a draw (so that one result does for all windows: `draws` counts as 1),
            instead of one, all equally likely.
        generator: on the CPU.
    """
    choices = units * tokens if anywhere else tokens
    if everything:
        choice = torch.arange(choices).expand(1, units, -1)
    else:
        choice = torch.randint(choices, (draws, units, 1), generator=generator)
    first_U1 = torch.zeros(units, 1, dtype=torch.int64) if anywhere else tokens * torch.arange(units)[:, None]
    return first_U1 + choice
