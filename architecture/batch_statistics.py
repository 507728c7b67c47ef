"""Statistics over all vectors of a batch: every loss and module that compares vectors of a batch takes them from here.

Where several processes share a batch (`parallel/batch_share.py`), these are the statistics of all of it, in every
process, with gradient into the vectors of each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from parallel import batch_share
from parallel.batch_share import current_share, summed


def count(vectors_ND: Tensor) -> int:
    """Number of vectors in the batch."""
    share = current_share()
    return len(vectors_ND) if share is None else len(vectors_ND) // share.present * share.total


def total(values: Tensor, dim: int | tuple[int, ...] = 0) -> Tensor:
    """Sum over the axes `dim`, which are those of the batch."""
    return summed(values.sum(dim=dim))


def mean(vectors: Tensor) -> Tensor:
    """Mean over the first axis: [N, ...] to [...]."""
    if current_share() is None:
        return vectors.mean(dim=0)
    return total(vectors) / count(vectors)


def std(vectors_ND: Tensor, correction: int = 0) -> Tensor:
    """Standard deviation of each dimension, [D], with divisor N - `correction`."""
    if current_share() is None:
        return vectors_ND.std(dim=0, correction=correction)
    variance_D = variance(vectors_ND, correction)
    # As in torch, no gradient where it is 0, in place of an infinite one.
    moves_D = variance_D > 0
    return torch.where(moves_D, variance_D, 1.0).sqrt() * moves_D


def variance(vectors_ND: Tensor, correction: int = 0) -> Tensor:
    """Variance of each dimension, [D], with divisor N - `correction`."""
    if current_share() is None:
        return vectors_ND.var(dim=0, correction=correction)
    return total((vectors_ND - mean(vectors_ND)).square()) / (count(vectors_ND) - correction)


def variance_and_mean(vectors_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Variance, with divisor N, and mean of each dimension, both [D]."""
    if current_share() is None:
        variance_D, mean_D = torch.var_mean(vectors_ND, dim=0, correction=0)
        return variance_D, mean_D
    mean_D = mean(vectors_ND)
    return total((vectors_ND - mean_D).square()) / count(vectors_ND), mean_D


def products(first_ND: Tensor, second_NE: Tensor, divisor: int) -> Tensor:
    """first^T second / divisor, [D, E], in the precision of the vectors whatever the autocast.

    Of centred vectors this is their covariance, of standardised ones their correlation.
    """
    with full_precision(first_ND):
        return summed(first_ND.T @ second_NE) / divisor


def gathered(vectors_ND: Tensor) -> Tensor:
    """All vectors of the batch, for what needs more of them than sums: their order, or a memory of the latest.

    What is computed of them is the same in every process, and no statistics of the batch: `sharing(None)`.
    """
    return batch_share.gathered(vectors_ND)


def full_precision(tensor: Tensor) -> torch.autocast:
    """Switches autocast off, which would take a matrix product in half precision."""
    return torch.autocast(tensor.device.type, enabled=False)
