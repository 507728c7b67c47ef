"""Every combination of values that a sweep runs: the grid's, each with every draw."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Sequence
from typing import Any

from sweeps.definition import Definition

Combination = dict[str, Any]
"""A value of every key that varies, the seed apart."""


def count(definition: Definition) -> int:
    """How many runs there are, before draws that repeat others are left out."""
    seeds = definition.seeds if isinstance(definition.seeds, int) else len(definition.seeds)
    return math.prod(map(len, definition.grid.values())) * (definition.samples if definition.drawn else 1) * seeds


def combinations(definition: Definition) -> list[Combination]:
    """All combinations, in the order of the definition.

    Every combination of the grid meets the same draws, so that its values are compared on equal terms.
    """
    grid = [dict(zip(definition.grid, values, strict=True)) for values in itertools.product(*definition.grid.values())]
    return [of_grid | drawn for of_grid in grid for drawn in draws(definition)]


def draws(definition: Definition) -> list[Combination]:
    """The draws, each once: with few values to draw from, some repeat others.

    The value of a key in draw number n is a function of (the draws' seed, n, key): more samples, or more keys, leave it
    as it is.
    """
    if not definition.drawn:
        return [{}]
    found: dict[str, Combination] = {}
    for index in range(definition.samples):
        draw = {
            key: source.at(random.Random(f"{definition.draw_seed}/{index}/{key}").random())
            for key, source in definition.drawn.items()
        }
        found.setdefault(json.dumps(draw), draw)
    return list(found.values())


def seeds_of(definition: Definition, first: int) -> Sequence[int]:
    """The seeds that every combination is run with.

    Args:
        definition: of the sweep.
        first: the config's seed, from which they are counted.
    """
    if isinstance(definition.seeds, list):
        return definition.seeds
    return range(first, first + definition.seeds)
