"""Statistics over all vectors of a batch: every loss and module that compares vectors of a batch takes them from here.

A process knows the vectors of its own batch alone. Training on several GPUs with one batch among them changes these
functions and nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor


def count(vectors_ND: Tensor) -> int:
    """Number of vectors in the batch."""
    return len(vectors_ND)


def total(values: Tensor, dim: int | tuple[int, ...] = 0) -> Tensor:
    """Sum over the axes `dim`, which are those of the batch."""
    return values.sum(dim=dim)


def mean(vectors: Tensor) -> Tensor:
    """Mean over the first axis: [N, ...] to [...]."""
    return vectors.mean(dim=0)


def std(vectors_ND: Tensor, correction: int = 0) -> Tensor:
    """Standard deviation of each dimension, [D], with divisor N - `correction`."""
    return vectors_ND.std(dim=0, correction=correction)


def variance(vectors_ND: Tensor, correction: int = 0) -> Tensor:
    """Variance of each dimension, [D], with divisor N - `correction`."""
    return vectors_ND.var(dim=0, correction=correction)


def variance_and_mean(vectors_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Variance, with divisor N, and mean of each dimension, both [D]."""
    variance_D, mean_D = torch.var_mean(vectors_ND, dim=0, correction=0)
    return variance_D, mean_D


def products(first_ND: Tensor, second_NE: Tensor, divisor: int) -> Tensor:
    """first^T second / divisor, [D, E], in the precision of the vectors whatever the autocast.

    Of centred vectors this is their covariance, of standardised ones their correlation.
    """
    with full_precision(first_ND):
        return first_ND.T @ second_NE / divisor


def gathered(vectors_ND: Tensor) -> Tensor:
    """All vectors of the batch, for what needs more of them than sums: their order, or a memory of the latest."""
    return vectors_ND


def full_precision(tensor: Tensor) -> torch.autocast:
    """Switches autocast off, which would take a matrix product in half precision."""
    return torch.autocast(tensor.device.type, enabled=False)
