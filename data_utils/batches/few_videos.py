"""A small part of a dataset, to try a run out: every part of the program is gone through, in a minute or two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from config.data import DataConfig
from data_utils.batches.windows import num_training_windows
from data_utils.catalog.catalog import Catalog

TRAINING_STEPS = 4
"""About so many training steps an epoch."""
OTHER_VIDEOS = 32
"""Videos of the other splits, at most."""


def few_videos(catalogs: Mapping[str, Catalog], data: DataConfig, step_windows: int, seed: int) -> dict[str, Catalog]:
    """The catalogs of all splits with a few of their videos, drawn once for a seed.

    Args:
        catalogs: by split.
        data: which windows training draws of a video.
        step_windows: of a training step.
        seed: of the draw.
    """
    few = {
        split: catalog.sample(_training_videos(catalog, data, step_windows) if split == "train" else OTHER_VIDEOS, seed)
        for split, catalog in catalogs.items()
    }
    further = {
        name: catalog.sample(_training_videos(catalog, data, step_windows), seed)
        for name, catalog in catalogs["train"].further.items()
    }
    return few | {"train": replace(few["train"], further=further)}


def _training_videos(train: Catalog, data: DataConfig, step_windows: int) -> int:
    """So many videos make about TRAINING_STEPS steps."""
    frames, fps = (train.table[name].to_numpy() for name in ("frames", "fps"))
    windows = num_training_windows(frames.astype(np.int64), fps.astype(np.float64), data.window, data.short_videos)
    return math.ceil(TRAINING_STEPS * step_windows / float(windows.mean()))
