"""The further datasets of a config, opened: made where they are made, and read where they are on a disk."""

from __future__ import annotations

from pathlib import Path

from config.datasets import data_by_dataset
from config.schema import Config
from data_utils.batches.further import with_further
from data_utils.catalog.catalog import Catalog
from data_utils.prepare.embedded import make_missing


def train_of_all(train: Catalog, config: Config, bad_videos_csv: Path) -> Catalog:
    """The run's training videos, with those of `datasets` as their `further`.

    Args:
        train: of the run's own dataset.
        config: the whole config.
        bad_videos_csv: list of the videos that cannot be read.

    Raises:
        InputError: a dataset cannot be made or read.
    """
    further = data_by_dataset(config)
    for data in further.values():
        make_missing(data.dataset)
    return with_further(train, further, config.groups, bad_videos_csv)
