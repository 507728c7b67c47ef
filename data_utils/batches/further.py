"""The videos of the further datasets that a run trains on: their training catalogs, and which of them a row is of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from config.data import DataConfig
from config.errors import InputError
from data_utils.batches.opening import open_bad_videos, open_training_catalog
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog


def with_further(
    train: Catalog, data_by_name: Mapping[str, DataConfig], levels: Sequence[str], bad_videos_csv: Path
) -> Catalog:
    """The run's training catalog with those of further datasets as its `further`.

    Args:
        train: of the run's own dataset.
        data_by_name: how each further dataset is read.
        levels: what is judged by labels, lowest first.
        bad_videos_csv: list of the videos that cannot be read.

    Raises:
        InputError: a dataset cannot be used; the message names it.
    """
    further = {}
    for name, data in data_by_name.items():
        try:
            further[name] = open_training_catalog(data, levels, bad_videos_csv, name)
        except InputError as error:
            raise InputError(f"datasets.{name}: {error}") from None
    return replace(train, further=further)


class BadVideosOfAll:
    """The lists of what cannot be read of each dataset that is trained on, for (row, reason) of any of them."""

    def __init__(
        self, own: BadVideos, train: Catalog, data_by_name: Mapping[str, DataConfig], bad_videos_csv: Path
    ) -> None:
        """Opens the lists of the further datasets; `own` is that of the run's."""
        self._train = train
        self._lists = {"": own} | {
            name: open_bad_videos(data, {"train": train.further[name]}, bad_videos_csv, name)
            for name, data in data_by_name.items()
        }

    def add(self, failed: Iterable[tuple[int, str]]) -> None:
        """Lists (row, reason). InputError: too many videos of a dataset are bad."""
        first_rows = self._train.first_rows
        for row, reason in failed:
            name = max((name for name in first_rows if first_rows[name] <= row), key=first_rows.__getitem__)
            catalog = self._train.further[name] if name else self._train
            self._lists[name].add(catalog.failures([(row - first_rows[name], reason)]))

    def __len__(self) -> int:
        """Videos of all datasets that are listed."""
        return sum(map(len, self._lists.values()))
