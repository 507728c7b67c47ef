"""BatchNorm (Ioffe and Szegedy, 2015, arXiv 1502.03167) over the whole of a batch that several processes share.

torch's SyncBatchNorm does the same on GPUs alone. These are torch's own layers where a process has the batch to itself.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from architecture.batch_statistics import count, full_precision, total
from parallel.batch_share import current_share


class BatchNorm1d(nn.BatchNorm1d):
    """torch's, of [N, D]."""

    def forward(self, vectors_ND: Tensor) -> Tensor:
        """Standardised over the batch in training, by running statistics in evaluation."""
        if current_share() is None or not self.training:
            return super().forward(vectors_ND)
        return over_processes(self, vectors_ND)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, of [B, C, H, W]."""

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Standardised over the batch in training, by running statistics in evaluation."""
        if current_share() is None or not self.training:
            return super().forward(maps_BCHW)
        return over_processes(self, maps_BCHW)


class BatchNorm3d(nn.BatchNorm3d):
    """torch's, of [B, C, T, H, W]."""

    def forward(self, maps_BCTHW: Tensor) -> Tensor:
        """Standardised over the batch in training, by running statistics in evaluation."""
        if current_share() is None or not self.training:
            return super().forward(maps_BCTHW)
        return over_processes(self, maps_BCTHW)


_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
}


def of_whole_batches(network: nn.Module) -> nn.Module:
    """A network of a library, whose BatchNorms become those of this file; they hold the same tensors."""
    for module in network.modules():
        module.__class__ = _KINDS.get(type(module), type(module))
    return network


def over_processes(norm: _BatchNorm, maps: Tensor, *, update: bool = True) -> Tensor:
    """What `norm` makes in training of its share of a batch; running statistics follow as torch's do.

    Args:
        norm: with running statistics and a momentum.
        maps: [B, C, ...].
        update: whether they move the running statistics.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    assert norm.num_batches_tracked is not None
    axes = (0, *range(2, maps.dim()))
    shape = (1, -1, *(1 for _ in axes[1:]))
    with full_precision(maps):
        exact = maps.float()
        numbers = count(maps) * math.prod(maps.shape[2:])
        mean_C = total(exact, axes) / numbers
        centred = exact - mean_C.view(shape)
        variance_C = total(centred.square(), axes) / numbers
        normed = centred * (variance_C + norm.eps).rsqrt().view(shape)
        normed = normed * norm.weight.view(shape) + norm.bias.view(shape)
    if update:
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean_C.detach(), norm.momentum)
        norm.running_var.lerp_(variance_C.detach() * (numbers / (numbers - 1)), norm.momentum)
    return normed.to(maps.dtype)
