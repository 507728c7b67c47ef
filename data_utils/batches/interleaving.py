"""Several datasets in one training: batches of one dataset each, in an order that is known before anything is decoded.

The order is a pure function of (seed, epoch), and a dataset's n-th batch is the same whatever stands between them, so
a run that is stopped inside an epoch goes on exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data_utils.batches.loader import Batch, Loader

_INTERLEAVED = 19  # the last word of the key: keeps these draws apart from others with the same seed


class InterleavedLoader:
    """The batches of several loaders, with the interface of one.

    A loader whose `repeat` is r gives r times its batches in an epoch, rounded to whole batches: the second epoch goes
    on where the first has ended, so that all of its windows come equally often. Rows of later datasets count on where
    those of the one before have ended, as in `Catalog.further`.
    """

    def __init__(
        self, loaders: Mapping[str, Loader], first_rows: Mapping[str, int], repeats: Mapping[str, float], seed: int
    ) -> None:
        """Starts nothing yet.

        Args:
            loaders: by name of the dataset, "" for the run's own.
            first_rows: the number of each dataset's first row.
            repeats: passes over each in an epoch.
            seed: of the order.
        """
        self._loaders, self._first_rows, self._seed = dict(loaders), dict(first_rows), seed
        self._counts = {name: max(1, round(repeats[name] * len(loader))) for name, loader in loaders.items()}

    def __len__(self) -> int:
        """Batches of an epoch."""
        return sum(self._counts.values())

    @property
    def windows(self) -> int:
        """Windows of an epoch, about: those of incomplete batches included."""
        per_batch = {name: loader.windows / max(1, len(loader)) for name, loader in self._loaders.items()}
        return round(sum(count * per_batch[name] for name, count in self._counts.items()))

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from `first_batch` on."""
        order = interleaved(list(self._counts.values()), self._seed, epoch)
        names = list(self._counts)
        streams = {
            name: self._stream(name, epoch, first=int((order[:first_batch] == number).sum()))
            for number, name in enumerate(names)
        }
        for place in range(first_batch, len(order)):
            yield replace(next(streams[names[order[place]]]), number=place)

    def _stream(self, name: str, epoch: int, first: int) -> Iterator[Batch]:
        """The batches that one dataset has in an epoch, without the first `first`; each pass is an epoch of its own."""
        loader, first_row = self._loaders[name], self._first_rows[name]
        end = (epoch + 1) * self._counts[name]
        begin = epoch * self._counts[name] + first
        while begin < end:
            this_pass, batch_number = divmod(begin, len(loader))
            wanted = min(end - begin, len(loader) - batch_number)
            for batch in loader.epoch(this_pass, batch_number, wanted):
                yield replace(
                    batch,
                    row_B=batch.row_B + first_row,
                    failed=[(row + first_row, reason) for row, reason in batch.failed],
                    other=batch.other
                    and replace(batch.other, row_B=batch.other.row_B + first_row, first_row=first_row),
                    dataset=name,
                    first_row=first_row,
                    pass_number=this_pass,
                )
            begin += wanted

    def close(self) -> None:
        """Ends the processes of all loaders."""
        for loader in self._loaders.values():
            loader.close()


def interleaved(counts: Sequence[int], seed: int, epoch: int) -> NDArray[np.int64]:
    """Which dataset each batch of an epoch is of: `counts` times each number, shuffled.

    Args:
        counts: batches of each dataset.
        seed: the run's.
        epoch: number of the epoch.
    """
    numbers = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng([seed, epoch, _INTERLEAVED]).permutation(numbers)
