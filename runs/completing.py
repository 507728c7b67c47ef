"""A config and its dataset: the one is made where it is missing, and what it says of itself goes into the other."""

from __future__ import annotations

import copy
from dataclasses import replace

from config.load import LoadedConfig
from data_utils.catalog.dataset_card import completed, left_to_dataset
from data_utils.prepare.embedded import make_missing


def complete(loaded: LoadedConfig) -> LoadedConfig:
    """Makes the embedded data where it is missing; the config with `mean`, `std` and `flip` where they are null.

    Of a curriculum, that goes for the stages, which are what is trained.

    Raises:
        InputError: the dataset cannot be made, or its `dataset.json` cannot be read.
    """
    if loaded.stages:
        return replace(loaded, stages=tuple(map(complete, loaded.stages)))
    make_missing(loaded.config.dataset)
    merged, source = copy.deepcopy(loaded.merged), dict(loaded.source)
    for dotted, (value, origin) in left_to_dataset(loaded.config).items():
        section, _, key = dotted.rpartition(".")
        (merged[section] if section else merged)[key] = value
        source[dotted] = origin
    return replace(loaded, config=completed(loaded.config), merged=merged, source=source)
