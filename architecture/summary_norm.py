"""BatchNorm over the units of a level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from architecture.batch_norm import BatchNorm1d, over_processes
from architecture.batch_statistics import count
from parallel.batch_share import current_share


class SummaryNorm(BatchNorm1d):
    """Standardises each dimension over all units of a batch (Ioffe and Szegedy, 2015, arXiv 1502.03167).

    As a guard against collapse it keeps the variance of every dimension, but not the rank. A causal level's states all
    go through it, since each of them predicts and is predicted; its summary is one of them.

    Args:
        dim: width of the units.
        momentum: share of a new batch in the running statistics, which evaluation uses.
    """

    def __init__(self, dim: int, momentum: float) -> None:
        super().__init__(dim, momentum=momentum)

    def forward(self, units: Tensor, *, update: bool = True) -> Tensor:
        """[..., D] to [..., D] in float32, whatever the autocast.

        A single unit has no statistics: it is normalised by the running ones, in training too.

        Args:
            units: of any number of axes.
            update: whether, in training, they move the running statistics.
        """
        with torch.autocast(units.device.type, enabled=False):
            flat_ND = units.float().flatten(0, -2)
            if not self.training or count(flat_ND) == 1:
                normed = F.batch_norm(
                    flat_ND, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
                )
            elif update:
                normed = super().forward(flat_ND)
            elif current_share() is not None:
                normed = over_processes(self, flat_ND, update=False)
            else:
                normed = F.batch_norm(flat_ND, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return normed.reshape(units.shape)
