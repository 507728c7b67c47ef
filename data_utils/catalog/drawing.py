"""Draws splits: by seed, within each class, or so that none of them shares a group with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog.catalog_file import SPLITS

_DRAWS = 200  # of which the best is taken
_DRAWN_GROUPS = 200_000  # in all draws together

Groups = Sequence[NDArray[np.intp]] | NDArray[np.intp]
"""The rows of each group, or the only row of each."""


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
        "train" or a split of `shares` for each row. A class with too few groups for all splits keeps one in train; what
        such classes have beside it is dealt from one heap, so that the shares hold among them together.

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
    heap: list[NDArray[np.intp]] = []
    few = 0
    for number, label in enumerate(sorted(by_class)):
        generator = np.random.default_rng([seed, number])
        if 1 < len(by_class[label]) <= len(shares):
            few += len(by_class[label])
            heap += [np.atleast_1d(by_class[label][index]) for index in generator.permutation(len(by_class[label]))[1:]]
        else:
            _deal(parts, by_class[label], shares, generator)
    _deal_heap(parts, heap, {split: share * few for split, share in shares.items()}, np.random.default_rng([seed]))
    return parts


def by_group(
    groups: Sequence[str], shares: Mapping[str, float], seed: int, labels: Sequence[str] | None = None
) -> NDArray[np.str_]:
    """The split of every row: no group is in two, and each split has its share of the rows, whatever the groups' sizes.

    Of many draws, the one counts whose splits come nearest to their shares and show most of the classes. Val and test
    get two groups or more as long as that leaves train half of them: one person tells little about people.

    Args:
        groups: the group of each row.
        shares: of the splits beside train, which gets the rest.
        seed: what is drawn depends on it, the groups and the labels.
        labels: the class of each row; None: classes do not count.

    Raises:
        InputError: there are too few groups, the shares leave nothing for train, or the seed is negative.
    """
    check_draw(shares, seed)
    rows = list(rows_of(groups).values())
    if len(rows) <= len(shares):
        raise InputError(
            f"{len(rows)} groups cannot be dealt to {', '.join(SPLITS)}, which need one each; take other groups or none"
        )
    sizes = np.array([len(members) for members in rows])
    shown = _classes_of_groups(rows, labels)
    generator = np.random.default_rng(seed)
    draws = max(1, min(_DRAWS, _DRAWN_GROUPS // len(rows)))
    best = min(
        (_drawn_groups(sizes, shares, generator) for _ in range(draws)), key=lambda d: _misfit(d, sizes, shares, shown)
    )
    parts = np.full(len(groups), "train", dtype="<U5")
    for split, chosen in best.items():
        for number in chosen:
            parts[rows[number]] = split
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


def _deal_heap(
    parts: NDArray[np.str_],
    heap: Sequence[NDArray[np.intp]],
    wanted: Mapping[str, float],
    generator: np.random.Generator,
) -> None:
    """Gives each split as many groups of the heap as are wanted, one at least; train keeps the rest."""
    order = list(generator.permutation(len(heap)))
    for split, number in sorted(wanted.items()):
        for index in order[: max(1, round(number))]:
            parts[heap[index]] = split
        order = order[max(1, round(number)) :]


def _drawn_groups(
    sizes: NDArray[np.intp], shares: Mapping[str, float], generator: np.random.Generator
) -> dict[str, list[int]]:
    """The groups of each split beside train, of one draw."""
    order = [int(number) for number in generator.permutation(len(sizes))]
    least = 2 if 4 * len(shares) <= len(sizes) else 1
    drawn: dict[str, list[int]] = {}
    for later, (split, share) in enumerate(sorted(shares.items())):
        wanted = share * sizes.sum()
        room = len(order) - least * (len(shares) - 1 - later) - 1  # the others and train need some
        chosen: list[int] = []
        rows = 0
        for number in order:
            nearer = abs(rows + sizes[number] - wanted) < abs(rows - wanted)
            if len(chosen) < room and (nearer or len(chosen) < least):
                chosen.append(number)
                rows += int(sizes[number])
            if len(chosen) >= least and rows >= wanted:
                break
        drawn[split] = chosen
        order = [number for number in order if number not in set(chosen)]
    return drawn


def _classes_of_groups(rows: Groups, labels: Sequence[str] | None) -> NDArray[np.bool_] | None:
    """[groups, classes] whether a group shows a class; None where classes do not count or are too many to look at."""
    if labels is None:
        return None
    codes, classes = pd.factorize(np.asarray(labels, object))
    if len(rows) * len(classes) > _DRAWN_GROUPS:
        return None
    shown = np.zeros((len(rows), len(classes)), np.bool_)
    for number, members in enumerate(rows):
        shown[number, codes[members]] = True
    return shown


def _misfit(
    drawn: Mapping[str, Sequence[int]],
    sizes: NDArray[np.intp],
    shares: Mapping[str, float],
    shown: NDArray[np.bool_] | None,
) -> float:
    """How far a draw is from what is wanted: sizes as shares of all rows, and the share of classes not shown."""
    misfit = 0.0
    for split, chosen in drawn.items():
        misfit += abs(float(sizes[list(chosen)].sum()) / float(sizes.sum()) - shares[split])
        if shown is not None:
            misfit += 1 - float(shown[list(chosen)].any(axis=0).mean())
    if shown is not None:
        train = np.ones(len(sizes), np.bool_)
        train[[number for chosen in drawn.values() for number in chosen]] = False
        misfit += 1 - float(shown[train].any(axis=0).mean())
    return misfit
