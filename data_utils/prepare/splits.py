"""Draws what a dataset has no official split for: by seed, within each class, and never through a group."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog.catalog_file import SPLITS
from data_utils.catalog.drawing import by_group, check_draw, within_classes


def add_draw_options(
    parser: argparse.ArgumentParser, val: float, test: float | None = None, short: bool = True, note: str = ""
) -> None:
    """Adds `--val-share`, `--test-share` and `--seed`.

    Args:
        parser: of one dataset.
        val: default share of the videos to draw from.
        test: the same; None: test is never drawn.
        short: allow `--val` and `--test` for the shares, where they mean nothing else.
        note: when the shares are used, for the help.
    """
    for split, share in (("val", val), ("test", test)):
        if share is not None:
            names = [f"--{split}-share", *([f"--{split}"] if short else [])]
            text = f"share of {split}, drawn{note} (default: {share:g})"
            parser.add_argument(*names, dest=f"{split}_share", type=float, default=share, metavar="SHARE", help=text)
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")


def draw(table: pd.DataFrame, there: NDArray[np.bool_], shares: Mapping[str, float], seed: int) -> list[str]:
    """Draws splits from the rows of train, in place: by the column `group` where there is one, else within each class.

    What is missing on the disk is drawn as if it was there, so that it changes nothing for the others when it comes;
    only where a split would be left without any video, those that are there are drawn by themselves.

    Args:
        table: columns `split`, `label`, perhaps `group`.
        there: [N] whether the disk holds each.
        shares: of the splits to draw; none: nothing is drawn.
        seed: what is drawn depends on it.

    Returns:
        What the user should know of it, one line each.

    Raises:
        InputError: there are too few videos or groups, the shares leave nothing for train, or the seed is negative.
    """
    if not shares:
        return []
    check_draw(shares, seed)
    rows = np.flatnonzero((table["split"] == "train").to_numpy())
    if len(rows) <= len(shares):
        count = "1 video" if len(rows) == 1 else f"{len(rows)} videos"
        raise InputError(f"{count} cannot be dealt to train, {' and '.join(shares)}, which need one each; add some")
    labels, is_there = table["label"].to_numpy(object)[rows], there[rows]
    if "group" in table:
        groups = table["group"].to_numpy(object)[rows]
        parts = by_group(groups.tolist(), shares, seed, labels.tolist())
        filled = [split for split in shares if not (is_there & (parts == split)).any()]
        if filled and len(set(groups[is_there])) > len(shares):
            parts[is_there] = by_group(groups[is_there].tolist(), shares, seed, labels[is_there].tolist())
        else:
            filled = []
    else:
        parts = within_classes(labels.tolist(), None, shares, seed)
        filled = _fill_empty(parts, is_there, labels.tolist(), shares, seed)
    table.loc[table.index[rows], "split"] = parts
    if not filled or is_there.all():
        return []
    return [f"{' and '.join(filled)}: drawn anew from the videos that are there, as all that were drawn are missing"]


def _fill_empty(
    parts: NDArray[np.str_], there: NDArray[np.bool_], labels: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[str]:
    """Gives videos to the drawn splits that have none on the disk, in place, as long as there are enough.

    Args:
        parts: the split of each row, as drawn.
        there: whether the disk holds it.
        labels: the class of each row.
        shares: of the splits that are drawn.
        seed: of the draw.

    Returns:
        The splits that were filled.
    """
    filled = []
    for number, split in enumerate(sorted(shares)):
        rows = [np.flatnonzero(there & (parts == name)) for name in SPLITS]
        if len(rows[SPLITS.index(split)]):
            continue
        donor = max(rows, key=len)
        count = min(max(1, round(shares[split] * int(there.sum()))), len(donor) - 1)
        if count < 1:
            continue
        order = np.random.default_rng([seed, number, 0]).permutation(donor)
        # Rows whose class keeps others in the split that gives come first.
        left = Counter(labels[int(row)] for row in donor)
        spare = []
        for row in order:
            if left[labels[int(row)]] > 1:
                left[labels[int(row)]] -= 1
                spare.append(row)
        first = set(spare)
        chosen = [*spare, *(row for row in order if row not in first)][:count]
        parts[chosen] = split
        filled.append(split)
    return filled
