"""Sums of gradients over processes, before the optimizer's step: one message carries many small tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_BUCKET = 1 << 25  # bytes: long enough messages, of which the next is packed while one is on its way


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Adds up the gradients of `parameters` over the processes; the same ones must have some in all of them."""
    under_way: list[tuple[list[Tensor], Tensor, Any]] = []
    for bucket in _buckets(parameter.grad for parameter in parameters if parameter.grad is not None):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        under_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    for bucket, flat, work in under_way:
        work.wait()
        parts = flat.split([gradient.numel() for gradient in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> list[list[Tensor]]:
    """The gradients in their order, those of one type beside each other in runs of about `_BUCKET` bytes."""
    buckets: list[list[Tensor]] = []
    size = 0
    for gradient in gradients:
        if not buckets or size >= _BUCKET or gradient.dtype != buckets[-1][0].dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(gradient)
        size += gradient.nbytes
    return buckets
