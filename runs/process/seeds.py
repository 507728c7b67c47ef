"""Random numbers that a resumed run draws again exactly: every generator is a pure function of its key.

A key is a few integers >= 0, by convention (seed, epoch, index); keys of different length or order are different.
"""

from __future__ import annotations

import random

import numpy as np
import torch


def torch_generator(*key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device`, determined by `key`. Raises ValueError where a number is negative."""
    low, high = _sequence(key).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(high) << 32 | int(low))


def numpy_generator(*key: int) -> np.random.Generator:
    """A NumPy generator, determined by `key`. Raises ValueError where a number is negative."""
    return np.random.default_rng(_sequence(key))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices), which libraries draw from (weight init)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _sequence(key: tuple[int, ...]) -> np.random.SeedSequence:
    # The length goes first because SeedSequence fills short keys with zeros: (1,) and (1, 0) would be the same.
    return np.random.SeedSequence([len(key), *key])
