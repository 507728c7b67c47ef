"""Configs that earlier versions of the program wrote, read with the keys and meanings of today.

A run's config is found in its config.yaml, its encoder.json and its checkpoints. A key that it lacks came later: it
takes its default or, where the program did something else before the key existed, the value in `BEFORE` that says so.
A key that exists no more is named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from config.evaluations import default_evaluations
from config.keys import CHOICE, alternatives, choice_of, mappings
from config.schema import Config
from config.spellings import respelled

_LEVELS = ("backbone", "space", "time", "clip")
Values = dict[str, Any]


def _views(old: Mapping[str, Any]) -> Values:
    """Before `views`: one look, augmented where all training was; `second_view` had a second one, for targets."""
    one = ["strong"] if old.get("augment_training") else ["none"]
    return dict.fromkeys(_LEVELS, ["strong", "strong"] if old.get("targets") == "second_view" else one)


_NEVER = {"probability": 0.0}
# By key, as configs without sections spelled it: what its lack meant, given the rest of such a config.
BEFORE: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "views": _views,
    "detach_side_targets": lambda old: old.get("detach_targets", True),
    "augmentation.static_swap": lambda _: _NEVER | {"mode": "add"},
    "augmentation.rotation": lambda _: _NEVER | {"degrees": 10.0},
    "augmentation.shift": lambda _: _NEVER | {"pixels": 3.0},
    "augmentation.noise": lambda _: _NEVER | {"std": [0.03, 0.03]},
}
# Values of keys that are there still, and what comes nearest to them: an encoder loads, a training cannot go on.
GONE: dict[tuple[str, str], str] = {("targets", "second_view"): "online"}


@dataclass(frozen=True)
class Earlier:
    """A config of an earlier version in today's spelling."""

    values: Values
    """The keys that it had and that still exist, and those of `BEFORE`."""
    vanished: list[str]
    """The keys that it had and that exist no more, dotted."""
    gone: list[str]
    """`key=value` for values that exist no more; another one stands in `values`."""


def read_earlier(values: Mapping[str, Any], label: str) -> Earlier:
    """Translates a config of this version or an earlier one into today's schema, as far as that can say it.

    Args:
        values: a whole config, as the program wrote it.
        label: where it stands, for messages.

    Raises:
        InputError: it has a key in two spellings.
    """
    old, gone = copy.deepcopy(dict(values)), []
    if "isolation" in old:  # at the top: of a version without sections
        for dotted, meant in BEFORE.items():
            _set_missing(old, dotted.split("."), meant(old))
        for (key, value), nearest in GONE.items():
            if old.get(key) == value:
                gone.append(f"{key}={value}")
                old[key] = nearest
    old.setdefault("evaluations", default_evaluations())  # what was done before they could be chosen
    today, _ = respelled(old, label)
    vanished: list[str] = []
    return Earlier(_known(today, Config, "", vanished), vanished, gone)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The keys that two configs both know and that differ: dotted, with both values."""
    yield from _differences(then, now, Config, "")


# ------------------------------------------------------------------------------------------ along the schema


def filled(values: Mapping[str, Any], kind: type[BaseModel], defaults: Mapping[str, Any]) -> Values:
    """`values` with those of `defaults` for keys of `kind` that it lacks, in its sections too.

    A mapping with keys of the user's choice is one value: an entry that a run did not have is not a key that it lacks.
    """
    full: Values = {key: copy.deepcopy(defaults[key]) for key in kind.model_fields if key in defaults}
    for key, value in values.items():
        inner, default = _section(kind, key, value), defaults.get(key)
        if inner is None:
            full[key] = copy.deepcopy(value)
        else:
            same = isinstance(default, Mapping) and default.get(CHOICE) == value.get(CHOICE)
            full[key] = filled(value, inner, default if same and isinstance(default, Mapping) else {})
    return full


def _known(values: Mapping[str, Any], kind: type[BaseModel], prefix: str, vanished: list[str]) -> Values:
    """`values` without the keys that `kind` does not have, which are added to `vanished`."""
    known: Values = {}
    for key, value in values.items():
        if key not in kind.model_fields:
            vanished.append(f"{prefix}{key}")
            continue
        inner = _section(kind, key, value)
        known[key] = value if inner is None else _known(value, inner, f"{prefix}{key}.", vanished)
    return known


def _differences(then: Any, now: Any, kind: type[BaseModel] | None, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """See `differences`; `kind` is the section that both are, or None for single values."""
    if kind is None:
        if then != now:
            yield prefix.rstrip("."), then, now
        return
    if then.get(CHOICE) != now.get(CHOICE):  # another optimizer, with other keys
        yield f"{prefix}{CHOICE}", then.get(CHOICE), now.get(CHOICE)
        return
    for key in kind.model_fields:
        if key not in then or key not in now:
            continue
        was, value, item = then[key], now[key], _item(kind, key)
        if item is not None and _holds_mappings(was) and _holds_mappings(value) and was.keys() == value.keys():
            for name in was:
                lacks_nothing = item.model_validate(_known(was[name], item, "", [])).model_dump()
                yield from _differences(lacks_nothing, value[name], item, f"{prefix}{key}.{name}.")
            continue
        inner = _section(kind, key, was) if isinstance(value, Mapping) else None
        yield from _differences(was, value, inner, f"{prefix}{key}.")


def _holds_mappings(value: Any) -> bool:
    """Whether it is a mapping of mappings; a level's labels, for one, may also be the name of a column alone."""
    return isinstance(value, Mapping) and all(isinstance(item, Mapping) for item in value.values())


def _section(kind: type[BaseModel], key: str, value: Any) -> type[BaseModel] | None:
    """The section that `key` of `kind` is, by its `name` where there are several; None for other values."""
    field = kind.model_fields.get(key)
    if field is None or not isinstance(value, Mapping):
        return None
    options = mappings(field.annotation)
    if len(options) > 1:
        return next((option for option in options if choice_of(option) == value.get(CHOICE)), None)
    return options[0] if options else None


def _item(kind: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section that every value of the mapping `key` is, such as those of `loss_weights`; None for other keys."""
    for option in alternatives(kind.model_fields[key].annotation):
        items = mappings(get_args(option)[1]) if get_origin(option) is dict else []
        if len(items) == 1:
            return items[0]
    return None


def _set_missing(values: Values, path: list[str], value: Any) -> None:
    *outer, last = path
    for key in outer:
        values = values.get(key, {})
    values.setdefault(last, value)
