"""The minibatches of an epoch: a pure function of (seed, epoch) and of the number of samples, whatever the memory.

Samples that lie in a file are far too many to read one by one in random order. So short runs of neighbours are
shuffled, taken together in pools that fit into memory, and shuffled again inside each.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from protocols.encoded_split import IntArray
from runs.process.seeds import numpy_generator

RUN = 16
"""Neighbours that are read together."""
POOL = 16384
"""Samples that are in memory at once. Up to as many are shuffled as a whole."""
_ORDER = 6  # keeps this stream of numbers apart from other draws with the same seed and epoch


def pools(samples: int, seed: int, epoch: int) -> Iterator[IntArray]:
    """Numbers of samples in random order, each of them once, in pools."""
    generator = numpy_generator(seed, epoch, _ORDER)
    starts = RUN * generator.permutation(-(-samples // RUN))
    numbers = (starts[:, None] + np.arange(RUN)).reshape(-1)
    numbers = numbers[numbers < samples]
    for start in range(0, samples, POOL):
        yield generator.permutation(numbers[start : start + POOL])


def batches_of(pool: IntArray, batch_size: int) -> list[IntArray]:
    """The batches of a pool, of nearly equal size so that no step is taken on a few samples alone."""
    return np.array_split(pool, batch_count(len(pool), batch_size))


def batch_count(pool: int, batch_size: int) -> int:
    """Batches of a pool of so many samples."""
    return max(1, round(pool / batch_size))


def steps_of_epoch(samples: int, batch_size: int) -> int:
    """Batches of an epoch."""
    full, rest = divmod(samples, POOL)
    return full * batch_count(POOL, batch_size) + (batch_count(rest, batch_size) if rest else 0)
