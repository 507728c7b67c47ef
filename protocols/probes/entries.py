"""The grid of learning rates and weight decays that a probe tries, and how much of it fits into memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor


class Entry(NamedTuple):
    """What one classifier of a grid is trained with."""

    lr: float
    weight_decay: float

    def __str__(self) -> str:
        return f"lr {self.lr:g}, weight decay {self.weight_decay:g}"


def grid(lrs: Sequence[float], weight_decays: Sequence[float]) -> list[Entry]:
    """Every learning rate with every weight decay."""
    return [Entry(lr, weight_decay) for lr, weight_decay in product(lrs, weight_decays)]


def middle(lrs: Sequence[float], weight_decays: Sequence[float]) -> Entry:
    """The entry to take where nothing can choose: the middle one of both lists, in order of size."""
    return Entry(sorted(lrs)[len(lrs) // 2], sorted(weight_decays)[len(weight_decays) // 2])


def rounds(entries: Sequence[Entry], entry_bytes: int, limit: int) -> list[list[Entry]]:
    """The entries in equal shares that take `limit` bytes each at most, or one entry where one takes more."""
    at_once = max(1, min(len(entries), limit // max(1, entry_bytes)))
    count = -(-len(entries) // at_once)
    size = -(-len(entries) // count)
    return [list(entries[start : start + size]) for start in range(0, len(entries), size)]


def as_tensors(entries: Sequence[Entry], device: torch.device) -> tuple[Tensor, Tensor]:
    """Learning rates and weight decays, [G, 1] each."""
    lr_G1 = torch.tensor([[entry.lr] for entry in entries], dtype=torch.float32, device=device)
    return lr_G1, torch.tensor([[entry.weight_decay] for entry in entries], dtype=torch.float32, device=device)
