"""Draws what a dataset has no official split for: by seed, within each class, and never through a group."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog_file import SPLITS

Groups = Sequence[NDArray[np.intp]] | NDArray[np.intp]
"""The rows of each group, or the only row of each."""


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


def within_classes(
    labels: Sequence[str], groups: Sequence[str] | None, shares: Mapping[str, float], seed: int
) -> NDArray[np.str_]:
    """The split of every row: the shares hold within each class as far as its size allows.

    Args:
        labels: the class of each row.
        groups: rows of one group stay together, with the class of the group's first row; None: each row alone.
        shares: of the splits beside train, which gets the rest.
        seed: what is drawn depends on it alone.

    Returns:
        "train" or a split of `shares` for each row. A class with too few groups gives to train first.

    Raises:
        InputError: the shares leave nothing for train, or the seed is negative.
    """
    check_draw(shares, seed)
    by_class: dict[str, Groups] = {}
    if groups is None:
        by_class |= rows_of(labels)  # single rows are dealt: millions of them need no arrays of their own
    else:
        lists: dict[str, list[NDArray[np.intp]]] = {}
        for rows in rows_of(groups).values():
            lists.setdefault(labels[int(rows[0])], []).append(rows)
        by_class |= lists
    parts = np.full(len(labels), "train", dtype="<U5")
    for number, label in enumerate(sorted(by_class)):
        _deal(parts, by_class[label], shares, np.random.default_rng([seed, number]))
    return parts


def by_group(groups: Sequence[str], shares: Mapping[str, float], seed: int) -> NDArray[np.str_]:
    """The split of every row: no group is in two; the shares are of the groups, whatever their classes.

    Raises:
        InputError: there are too few groups, the shares leave nothing for train, or the seed is negative.
    """
    check_draw(shares, seed)
    parts = np.full(len(groups), "train", dtype="<U5")
    rows = list(rows_of(groups).values())
    if len(rows) <= len(shares):
        raise InputError(f"{len(rows)} groups cannot be dealt to {', '.join(SPLITS)}; choose another --group-column")
    _deal(parts, rows, shares, np.random.default_rng(seed))
    return parts


def rows_of(values: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """The rows of every value, in the order of the values."""
    codes, names = pd.factorize(np.asarray(values, object), sort=True)
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return dict(zip(map(str, names), rows, strict=True)) if len(names) else {}


def check_draw(shares: Mapping[str, float], seed: int) -> None:
    """InputError where the shares leave nothing for train, or the seed is negative."""
    names = " and ".join(f"--{split}-share" for split in shares)
    if not all(share > 0 for share in shares.values()) or not sum(shares.values()) < 1:
        raise InputError(f"{names} must be above 0 and leave something for train")
    if seed < 0:
        raise InputError(f"--seed must be 0 or more, not {seed}")


def _deal(parts: NDArray[np.str_], groups: Groups, shares: Mapping[str, float], generator: np.random.Generator) -> None:
    """Gives each split its share of the groups, at least one each, and leaves at least one to train."""
    order = generator.permutation(len(groups))
    for later, (split, share) in enumerate(sorted(shares.items())):
        others = len(shares) - later  # train, and the splits that come after this one, need one group each
        count = max(0, min(max(1, round(share * len(groups))), len(order) - others))
        for number in order[:count]:
            parts[groups[number]] = split
        order = order[count:]
