"""What mattered: how much of the differences between runs goes with each key, and how surely.

A key's share is that of the variance of the scores that lies between its values (the correlation ratio, eta squared;
R. A. Fisher, Statistical Methods for Research Workers, 1925). Even a key without any effect has one, and where runs are
few a large one. So each share comes with a permutation test: how often would values dealt out at random have as large a
share? The values of a grid are dealt out only among runs that are alike in all else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from config.yaml_text import to_yaml
from sweeps.folder import Manifest
from sweeps.table import RunRow, Spread, Table

SHUFFLES = 2_000
SURE = 0.05
MANY_VALUES = 5
"""A key of numbers with more values than that is looked at in thirds."""


@dataclass(frozen=True)
class Group:
    """The runs that share a value of a key, or a range of values."""

    title: str
    scores: list[float]

    @property
    def spread(self) -> Spread:
        """Mean and standard deviation of their scores: over all other keys and the seeds."""
        spread = Spread.of(self.scores)
        assert spread is not None
        return spread


@dataclass(frozen=True)
class Effect:
    """What goes with a key.

    Attributes:
        key: dotted.
        groups: in the order of the values.
        share: of the variance, in [0, 1].
        by_chance: the share that values dealt out at random have on average.
        p: how often values dealt out at random have at least this share.
        least_p: how small `p` could be at best with these runs.
        units: how many scores were compared: runs or, for a key that is drawn, draws.
    """

    key: str
    groups: list[Group]
    share: float
    by_chance: float
    p: float
    least_p: float
    units: int

    @property
    def verdict(self) -> Literal["sure", "unsure", "too few"]:
        """Whether chance is an unlikely explanation; `too few`: with these runs it could not be."""
        if self.least_p > SURE:
            return "too few"
        return "sure" if self.p <= SURE else "unsure"

    @property
    def best(self) -> Group:
        """The group with the highest mean."""
        return max(self.groups, key=lambda group: group.spread.mean)

    @property
    def gap(self) -> float:
        """Between the highest and the lowest mean of a group."""
        means = [group.spread.mean for group in self.groups]
        return max(means) - min(means)


@dataclass(frozen=True)
class _Unit:
    """A score that a value is dealt to."""

    value: Any
    score: float
    block: str
    """Values are dealt out among the units of a block."""


def effects(table: Table) -> list[Effect]:
    """The effect of every key with at least two values among the runs that are scored, the largest share first."""
    scored = _scored(table)
    found = [_effect(key, table.manifest, scored) for key in table.manifest.keys]
    return sorted([effect for effect in found if effect], key=lambda effect: -effect.share)


def share_of_seeds(table: Table) -> float | None:
    """Share of the variance that lies inside the combinations, between runs that differ in the seed alone.

    Returns:
        None where there is nothing to tell it by.
    """
    scored = _scored(table)
    names = [json.dumps(run.run.values, sort_keys=True) for run, _ in scored]
    if len(set(names)) == len(names) or len(set(names)) < 2:
        return None
    codes = np.unique(np.array(names), return_inverse=True)[1]
    scores = np.array([score for _, score in scored])
    return 1 - float(_shares(codes[None], scores, len(set(names)))[0]) if np.ptp(scores) > 0 else None


def _scored(table: Table) -> list[tuple[RunRow, float]]:
    """The runs that have a score, with it."""
    runs = [(run, run.scores[table.split].value) for run in table.runs if table.split in run.scores]
    return [(run, value) for run, value in runs if value is not None]


def _effect(key: str, manifest: Manifest, scored: Sequence[tuple[RunRow, float]]) -> Effect | None:
    values = [run.run.values[key] for run, _ in scored]
    title_of = _titles(values)
    titles = list(dict.fromkeys(title_of(value) for value in sorted(values, key=_order)))
    if len(titles) < 2:
        return None
    by_title: dict[str, list[float]] = {title: [] for title in titles}
    for run, score in scored:
        by_title[title_of(run.run.values[key])].append(score)
    units = _drawn_units(key, manifest, scored) if key in manifest.drawn else _grid_units(key, manifest, scored)
    codes = np.array([titles.index(title_of(unit.value)) for unit in units])
    scores = np.array([unit.score for unit in units])
    (share,) = _shares(codes[None], scores, len(titles))
    by_chance = _shares(_dealt(codes, [unit.block for unit in units]), scores, len(titles))
    largest = max(share, by_chance.max())
    return Effect(
        key,
        [Group(title, found) for title, found in by_title.items()],
        share=float(share),
        by_chance=float(by_chance.mean()),
        p=_at_least(by_chance, share),
        least_p=_at_least(by_chance, largest),
        units=len(units),
    )


def _grid_units(key: str, manifest: Manifest, scored: Sequence[tuple[RunRow, float]]) -> list[_Unit]:
    """Every run; those that are alike in all other keys and the seed are a block."""
    units = []
    for run, score in scored:
        others = [run.run.values[other] for other in manifest.keys if other != key]
        units.append(_Unit(run.run.values[key], score, json.dumps([*others, run.run.seed], sort_keys=True)))
    return units


def _drawn_units(key: str, manifest: Manifest, scored: Sequence[tuple[RunRow, float]]) -> list[_Unit]:
    """Every draw, with the mean score of its runs: counted one by one, they would make the draws look many."""
    by_draw: dict[str, list[tuple[RunRow, float]]] = {}
    for run, score in scored:
        draw = json.dumps([run.run.values[drawn] for drawn in manifest.drawn], sort_keys=True)
        by_draw.setdefault(draw, []).append((run, score))
    return [_Unit(runs[0][0].run.values[key], fmean(score for _, score in runs), "") for runs in by_draw.values()]


def _dealt(codes_N: NDArray[np.int64], blocks: Sequence[str]) -> NDArray[np.int64]:
    """The values of the units as they might have been: [shuffles, N], shuffled inside the blocks."""
    generator = np.random.default_rng(0)
    names_N = np.unique(np.array(blocks), return_inverse=True)[1]
    dealt_SN = np.tile(codes_N, (SHUFFLES, 1))
    for block in range(int(names_N.max()) + 1):
        places = np.flatnonzero(names_N == block)
        dealt_SN[:, places] = generator.permuted(dealt_SN[:, places], axis=1)
    return dealt_SN


def _at_least(shares_S: NDArray[np.float64], share: float) -> float:
    """How many of the shuffles have at least a share; what was found counts as one of them."""
    return float((np.count_nonzero(shares_S >= share - 1e-9) + 1) / (len(shares_S) + 1))


def _shares(codes_SN: NDArray[np.int64], scores_N: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Share of the variance between groups, for every row of codes."""
    centred_N = scores_N - scores_N.mean()
    total = float(np.square(centred_N).sum())
    if total == 0:
        return np.zeros(len(codes_SN))
    between_S = np.zeros(len(codes_SN))
    for group in range(groups):
        member_SN = codes_SN == group
        sums_S, counts_S = member_SN @ centred_N, member_SN.sum(axis=1)
        between_S += np.square(sums_S) / np.maximum(counts_S, 1)
    return between_S / total


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size, everything else as text behind them."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, to_yaml(value)


def _titles(values: Sequence[Any]) -> Callable[[Any], str]:
    """Names the group of a value: the value itself; of a key of many numbers, the third that it is in."""
    numbers = sorted({value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)})
    if len(numbers) <= MANY_VALUES or any(_order(value)[0] for value in values):
        return to_yaml
    thirds = [list(third) for third in np.array_split(np.array(numbers, dtype=object), 3)]

    def third_of(value: Any) -> str:
        third = next(third for third in thirds if value <= third[-1])
        return f"{to_yaml(third[0])} to {to_yaml(third[-1])}"

    return third_of
