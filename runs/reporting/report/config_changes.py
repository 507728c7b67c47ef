"""A config as its difference from the defaults, or from other configs: what somebody has decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import InputError
from config.load import default_values
from config.yaml_text import parse_yaml, to_yaml

ABSENT = "–"
"""In place of a value where a config does not have a key."""
_NO_DECISIONS = {"model_name", "save_path", "resume"}


@dataclass(frozen=True)
class Change:
    """A key with its value, and the default."""

    key: str
    value: str
    default: str


def changes(config_yaml: str) -> list[Change]:
    """What a config has other than the defaults, in its order; [] where it is not YAML."""
    mine, usual = flat(config_yaml), dict(_flat(default_values(), ""))
    found = [key for key in mine if key not in _NO_DECISIONS and mine[key] != usual.get(key, ABSENT)]
    return [Change(key, mine[key], usual.get(key, ABSENT)) for key in found]


def different_keys(configs: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys in which configs differ, in the order of the first that has them."""
    keys = dict.fromkeys(key for config in configs for key in config if key not in _NO_DECISIONS)
    return [key for key in keys if len({config.get(key, ABSENT) for config in configs}) > 1]


def flat(config_yaml: str) -> dict[str, str]:
    """The values of a config as YAML, by dotted key; {} where it is not YAML."""
    try:
        return dict(_flat(parse_yaml(config_yaml, "config.yaml"), ""))
    except InputError:
        return {}


def _flat(value: Any, dotted: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{dotted}.{key}" if dotted else str(key))
    elif dotted:
        yield dotted, to_yaml(value).strip()
