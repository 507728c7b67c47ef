"""The keys that a config can have, read off its schema: for messages and for docs/config.md."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

CHOICE = "name"  # the key that says which of several mappings is meant: an optimizer's, a dataset's
CHOICES = (CHOICE, "protocol")  # of an evaluation, whose name is the user's, its protocol says it
ANY_NAME = "NAME"  # of an entry whose name the user chooses


@dataclass(frozen=True)
class Key:
    """One key of a config.

    Attributes:
        dotted: its place, as the command line writes it.
        field: its type, limits, default and description.
        choice: the `name` (or `protocol`) of the mapping that has the key, where it has one.
        owner: the mapping that has the key.
        by: the key that has `choice` as its value.
    """

    dotted: str
    field: FieldInfo
    choice: str | None
    owner: type[BaseModel]
    by: str = CHOICE


@dataclass(frozen=True)
class Place:
    """Where pydantic found something wrong, in the user's words.

    Attributes:
        dotted: the key, without pydantic's internals; "" for the config as a whole.
        siblings: the keys that the same mapping may have.
    """

    dotted: str
    siblings: tuple[str, ...]


def alternatives(annotation: Any) -> list[Any]:
    """The types that `annotation` allows, without None and without `Annotated`."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in alternatives(part)]
    return [] if annotation is type(None) else [annotation]


def mappings(annotation: Any) -> list[type[BaseModel]]:
    """The mappings that `annotation` allows."""
    return [kind for kind in alternatives(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def choice_of(mapping: type[BaseModel]) -> str | None:
    """The value of `name` (or `protocol`) that chooses `mapping`; None where it is not one of several."""
    choice = _choice(mapping)
    return choice[1] if choice else None


def _choice(mapping: type[BaseModel]) -> tuple[str, str] | None:
    """The key that chooses `mapping`, and its value; None where it is not one of several."""
    for key in CHOICES:
        annotation = mapping.model_fields[key].annotation if key in mapping.model_fields else None
        if get_origin(annotation) is Literal:  # any other is a name of the user's choice
            return key, str(get_args(annotation)[0])
    return None


def walk(mapping: type[BaseModel], prefix: str = "", choice: tuple[str, str] | None = None) -> Iterator[Key]:
    """Every key of `mapping` that takes a value, in the schema's order, nested ones with dots."""
    for name, field in mapping.model_fields.items():
        for dotted, annotation in _children(prefix + name, field.annotation):
            options = mappings(annotation)
            if not options:
                by, value = choice or (CHOICE, None)
                yield Key(dotted, field, value, mapping, by)
            for option in options:
                yield from walk(option, f"{dotted}.", _choice(option) or choice)


def _children(dotted: str, annotation: Any) -> Iterator[tuple[str, Any]]:
    """`dotted` itself, or its children where it is a mapping that holds nothing but mappings."""
    for kind in alternatives(annotation):
        if get_origin(kind) is not dict:
            continue
        values = get_args(kind)[1]
        if mappings(values) and len(mappings(values)) == len(alternatives(values)):
            for key in get_args(get_args(kind)[0]) or (ANY_NAME,):
                yield f"{dotted}.{key}", get_args(kind)[1]
            return
    yield dotted, annotation


def locate(root: type[BaseModel], loc: Sequence[str | int]) -> Place:
    """Translate the `loc` of a pydantic error.

    Pydantic adds the chosen mapping (`regularizer.sigreg.weight`) and a mark for keys (`[key]`) to it.
    """
    dotted = ""
    siblings: tuple[str, ...] = ()
    annotation: Any = root
    for part in loc:
        if part == "[key]":
            continue
        options = mappings(annotation)
        if len(options) > 1:  # `part` only says which of them
            annotation = next(option for option in options if choice_of(option) == part)
            continue
        siblings, annotation = _child(annotation, part)
        dotted += f"[{part}]" if isinstance(part, int) else f".{part}"
    return Place(dotted.lstrip("."), siblings)


def _child(annotation: Any, part: str | int) -> tuple[tuple[str, ...], Any]:
    """The keys of the mapping or list `annotation`, and the type of its child `part` (None: unknown)."""
    for kind in alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            return tuple(kind.model_fields), field.annotation if field else None
        if get_origin(kind) is dict:
            keys, value = get_args(kind)
            return (get_args(keys) if get_origin(keys) is Literal else ()), value
        if get_origin(kind) is list:
            return (), get_args(kind)[0]
    return (), None
