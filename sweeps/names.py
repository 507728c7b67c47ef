"""Names of runs by what differs: short, unique, and such that files, folders and shells take them as they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from config.yaml_text import to_yaml

_MAX_VALUE, _MAX_NAME = 32, 100  # letters; a file's name may have 255, a line of a table should not


def names_of(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each combination, such as `lr-0.001_groups-space-time`; "" where nothing differs.

    The name of a combination is a function of its own keys and values, so that a sweep can be extended; only where
    two would be the same do both get a hash at their end.
    """
    short = short_keys(list(combinations[0])) if combinations else {}
    names = [_name(combination, short) for combination in combinations]
    taken = Counter(names)
    return [
        name if taken[name] == 1 else f"{name}_{_hash(dict(combination))}"
        for name, combination in zip(names, combinations, strict=True)
    ]


def with_seed(name: str, seed: int) -> str:
    """The name of a combination's run with a seed."""
    return f"{name}_s{seed}" if name else f"s{seed}"


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """By dotted key, as much of its end as tells it apart from the others."""
    short = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        others = [f".{other}" for other in keys if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return short


def file_safe(text: str) -> str:
    """The text with a dash for everything that a file's name should not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def _name(combination: Mapping[str, Any], short: Mapping[str, str]) -> str:
    name = "_".join(f"{_safe(short[key])[0]}-{_value(value)}" for key, value in combination.items())
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 9]}_{_hash(dict(combination), 8)}"


def _value(value: object) -> str:
    """A value in letters that names may have; with a hash where they do not tell all of it."""
    text, whole = _text(value)
    if whole and len(text) <= _MAX_VALUE:
        return text
    return f"{text[:_MAX_VALUE]}-{_hash(value)}".lstrip("-")


def _text(value: object) -> tuple[str, bool]:
    """Letters for a value, and whether they tell all of it."""
    if isinstance(value, float) and float(f"{value:.6g}") == value:
        return f"{value:.6g}".replace("+", ""), True
    if isinstance(value, Mapping):
        return _safe(str(value.get("name", value.get("protocol", ""))))[0], False
    if isinstance(value, list):
        parts = [_text(item) for item in value]
        whole = all(is_whole and "-" not in text for text, is_whole in parts)
        return "-".join(text for text, _ in parts), whole and bool(parts)
    return _safe(value if isinstance(value, str) else to_yaml(value))


def _safe(text: str) -> tuple[str, bool]:
    """The text with dashes for what a name may not have, and whether it had nothing of that."""
    safe = file_safe(text)
    return safe, safe == text and bool(text)


def _hash(value: object, letters: int = 4) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:letters]
