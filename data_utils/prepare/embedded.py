"""Datasets that are made rather than downloaded: a config that asks for one needs no `prepare.py`."""

from __future__ import annotations

from config.data import AnyDataset, MovingDigits
from config.places import place


def make_missing(dataset: AnyDataset) -> None:
    """Makes the videos of the config's dataset where it is one that is made, and they are not there yet.

    Raises:
        InputError: `dataset.root` holds something else, or cannot be written.
    """
    if isinstance(dataset, MovingDigits):
        from data_utils.prepare import moving_digits  # its generator's imports take seconds

        videos = {str(split): count for split, count in dataset.videos.items()}
        root = place(dataset.root, "dataset.root")
        moving_digits.prepare(root, videos, dataset.seed, dataset.difficulty)
        if "captions" in dataset.annotations.values():
            moving_digits.add_captions(root, videos, dataset.seed, dataset.difficulty)
