"""One batch among several processes: the share of each, and sums over all of them through which gradient flows.

The processes hold the windows of a batch in the order of their ranks. With n_r of its N windows and a loss L_r in
process r, the trainer minimises the sum over r of (n_r / N) * L_r: the mean over all N windows where L_r is a mean over
those of r, and L itself where L is the same in all processes, made of sums by `summed`. So a function of the whole
batch needs no weight, no factor and no special case: it takes its sums from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class BatchShare:
    """The share of this process in a batch."""

    sizes: tuple[int, ...]
    """Windows of each process, one of them above 0."""
    rank: int

    @property
    def total(self) -> int:
        """Windows of all processes."""
        return sum(self.sizes)

    @property
    def is_empty(self) -> bool:
        """Whether none of the windows is here. One that counts for nothing stands in, as the others wait for sums."""
        return self.sizes[self.rank] == 0

    @property
    def present(self) -> int:
        """Windows that are computed here: the process's own, or the one that stands in."""
        return max(1, self.sizes[self.rank])

    @property
    def offset(self) -> int:
        """Number in the whole batch of the first window here."""
        return 0 if self.is_empty else sum(self.sizes[: self.rank])

    @property
    def weight(self) -> float:
        """Windows here as a share of all."""
        return self.sizes[self.rank] / self.total


_current: BatchShare | None = None


@contextmanager
def sharing(share: BatchShare | None) -> Iterator[None]:
    """Inside, this process computes `share` of a batch; None: the whole of it."""
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def current_share() -> BatchShare | None:
    """The share that is computed; None where it is the whole batch, as always in one process."""
    return _current


# ------------------------------------------------------------------------------------------- sums, with gradient


def summed(value: Tensor) -> Tensor:
    """The sum of `value` over the processes, in all of them; with gradient into each one's own."""
    if _current is None:
        return value
    if _current.is_empty:
        value = value * 0
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


def gathered(vectors: Tensor) -> Tensor:
    """All rows [N, ...] of the batch, in its order, in every process; with gradient into each one's own.

    Args:
        vectors: [n, ...], the same number of rows for each window.
    """
    share = _current
    if share is None:
        return vectors
    per_window = len(vectors) // share.present
    if share.is_empty:
        vectors = vectors[:0]
    before = share.offset * per_window
    after = share.total * per_window - before - len(vectors)
    # Zeros at the places of the others: their sum needs no equal shares, and costs twice what a gathering would.
    padding = [0, 0] * (vectors.dim() - 1) + [before, after]
    placed: Tensor = _Sum.apply(F.pad(vectors, padding))  # type: ignore[no-untyped-call]
    return placed


def next_windows(of_windows: Tensor) -> Tensor:
    """For each window here what the next one of the whole batch has; for the last one, the first.

    Args:
        of_windows: [B, ...], a row for each window here; without gradient.
    """
    share = _current
    if share is None:
        return of_windows.roll(-1, dims=0)
    first_PX = of_windows.new_zeros(len(share.sizes), *of_windows.shape[1:])
    if not share.is_empty:
        first_PX[share.rank] = of_windows[0]
    first_PX = _all_reduced(first_PX)
    others = [(share.rank + step) % len(share.sizes) for step in range(1, len(share.sizes) + 1)]
    following = next(rank for rank in others if share.sizes[rank])
    return torch.cat([of_windows[1:], first_PX[following][None]])


class _Sum(torch.autograd.Function):
    """The sum over all processes. What each makes of it weighs on the values of all: so its gradient is a sum, too."""

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        return _all_reduced(value)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def _all_reduced(value: Tensor) -> Tensor:
    total = value.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


# -------------------------------------------------------------------------------------------------------- draws


def batch_windows(windows: int) -> int:
    """Windows of the whole batch, where `windows` of them are here: as many are drawn for."""
    return windows if _current is None else _current.total


def first_window() -> int:
    """Number in the whole batch of the first window here."""
    return 0 if _current is None else _current.offset


def own_windows(drawn: Tensor) -> Tensor:
    """The rows of what was drawn for the whole batch that belong to the windows here.

    Args:
        drawn: [N, ...] of `batch_windows` rows, or [1, ...], which goes for all of them.
    """
    if _current is None or len(drawn) == 1:
        return drawn
    return drawn[_current.offset : _current.offset + _current.present]


def equal_parts(items: int, parts: int) -> Sequence[slice]:
    """`items` in a row as `parts` runs, as equal as they can be, the longer ones first."""
    least, longer = divmod(items, parts)
    ends = [number * least + min(number, longer) for number in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(ends)]
