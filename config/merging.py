"""Laying one mapping of a config over another, key by key, while noting where each value came from."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import Any

from config.keys import CHOICES

COMMAND_LINE = "command line"
SCHEMA_DEFAULT = "default"
_NAMED_BY_USERS = {"wandb"}  # mappings whose `name` chooses no other keys


def merge(
    base: dict[str, Any],
    change: dict[str, Any],
    label: str,
    source: dict[str, str],
    prefix: str = "",
    kept: Collection[str] = (),
) -> None:
    """Merge `change` into `base`, and note in `source` that its values came from `label`.

    The mappings in `kept` (dotted) are merged key by key even where their `name` changes.
    """
    for key, value in change.items():
        dotted, old = prefix + key, base.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        if old and both and (dotted in kept or dotted in _NAMED_BY_USERS or not _changes_name(old, value)):
            merge(old, value, label, source, f"{dotted}.", kept)
            continue
        if key in base:
            for stale in [known for known in source if known == dotted or known.startswith(f"{dotted}.")]:
                del source[stale]
        base[key] = copy.deepcopy(value)
        source.update(dict.fromkeys(leaves(value, dotted), label))


def _changes_name(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(choice in old and choice in new and old[choice] != new[choice] for choice in CHOICES)


def leaves(value: object, dotted: str) -> Iterator[str]:
    """The dotted keys of the values in `value`; an empty mapping counts as a value."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from leaves(child, f"{dotted}.{key}" if dotted else key)
    else:
        yield dotted


def origin_of(dotted: str, source: dict[str, str]) -> str:
    """Where the value of `dotted` came from; of a mapping: where its last values did."""
    whole = dotted.partition("[")[0]  # a list is one value
    while whole:
        if whole in source:
            return source[whole]
        inside = [label for known, label in source.items() if known.startswith(f"{whole}.")]
        if inside:
            return COMMAND_LINE if COMMAND_LINE in inside else inside[-1]
        whole = whole.rpartition(".")[0]
    return SCHEMA_DEFAULT
