"""Contrasts of one similarity with others, by InfoNCE (van den Oord et al., 2018, arXiv 1807.03748)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Contrast(NamedTuple):
    """What came of contrasts."""

    loss: Tensor
    """Scalar, the mean."""
    accuracy: Tensor
    """Scalar, the share of those in which the positive is more than the negative of the same video."""


def contrast(of: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> Contrast:
    """The mean over several contrasts.

    Args:
        of: a similarity [B] that should be more than others [B], the first of which is of the same video.
    """
    losses, right = [], []
    for positive_B, negatives in of:
        logits_BN = torch.stack([positive_B, *negatives], dim=1)
        losses.append(-F.log_softmax(logits_BN, dim=1)[:, 0].mean())
        right.append((positive_B > negatives[0]).float().mean())
    return Contrast(torch.stack(losses).mean(), torch.stack(right).mean())


def of_others(batch: int, number: int, generator: torch.Generator) -> Tensor:
    """For every sample of a batch, others, drawn at random: [number, batch] int64, none where there is only one.

    Args:
        batch: samples.
        number: others of each; as many as there are, where these are fewer.
        generator: on the CPU.
    """
    number = min(number, batch - 1)
    if number < 1:
        return torch.zeros(0, batch, dtype=torch.int64)
    # In a random circle the next ones: each sample is the other one of as many, and none is its own.
    circle_B = torch.randperm(batch, generator=generator)
    place_B = circle_B.argsort()
    steps_N1 = torch.randperm(batch - 1, generator=generator)[:number, None] + 1
    return circle_B[(place_B + steps_N1) % batch]
