"""The epochs that a command line asks for, of those whose features a run has kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from config.errors import InputError
from figures.request import DrawRequest
from runs.epoch_features import EpochFeatures, read_kept
from runs.folder import RunFolder

PAGE = 6
"""Epochs side by side."""


def spread(kept: Sequence[EpochFeatures], count: int = PAGE) -> list[EpochFeatures]:
    """At most `count` of them, spread evenly; the first and the last are among them."""
    places = np.linspace(0, len(kept) - 1, min(count, len(kept))).round().astype(int)
    return [kept[place] for place in dict.fromkeys(places.tolist())]


def chosen_epochs(request: DrawRequest) -> list[EpochFeatures]:
    """The epochs that are drawn, in the order of training; [] where the request asks for none.

    Raises:
        InputError: the run has kept none, or not all that are asked for.
    """
    if request.epochs is None:
        return []
    kept = read_kept(RunFolder(request.run).epoch_features)
    if not kept:
        raise InputError(
            f"--epochs: {request.run} has not kept the features of its validations: figure_epochs was 0, or an "
            "earlier version of the program trained it"
        )
    if request.epochs == "all":
        return kept
    if request.epochs == "spread":
        return spread(kept)
    there = list(dict.fromkeys(each.epoch for each in kept))
    for epoch in request.epochs:
        if epoch not in there:
            raise InputError(f"--epochs {epoch}: kept are {', '.join(map(str, there))}")
    return [each for each in kept if each.epoch in request.epochs]
