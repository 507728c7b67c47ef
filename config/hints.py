"""Hints on values that cannot work together: a value that is named has been tried, with all others as they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol

from pydantic import ValidationError

_TRYING: ContextVar[bool] = ContextVar("_TRYING", default=False)


class Checked(Protocol):
    """A section whose values are checked against each other."""

    def model_dump(self) -> dict[str, Any]:
        """Its values."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Any:
        """The section with other values; ValidationError where they disagree."""
        ...


def refuse(config: Checked, said: str, *ways: Mapping[str, Any]) -> NoReturn:
    """Raises the error of values that disagree.

    Args:
        config: what holds them.
        said: what is wrong.
        ways: each changes some keys (dotted) so that they may fit; those that do are named.

    Raises:
        ValueError: always; one line.
    """
    if _TRYING.get():  # a way of another error: nobody reads its hints
        raise ValueError(said)
    fitting: list[Mapping[str, Any]] = []
    for way in ways:
        known = any(smaller.items() <= way.items() for smaller in fitting)
        if not known and _fits(config, way):
            fitting.append(way)
    if not fitting:
        raise ValueError(f"{said}; other values disagree with each change that was tried, so change more of them")
    first, *others = (" ".join(f"{key}={_text(value)}" for key, value in way.items()) for way in fitting)
    raise ValueError(f"{said}; {first} would fit" + (f", or {' or '.join(others)}" if others else ""))


def _fits(config: Checked, way: Mapping[str, Any]) -> bool:
    values = copy.deepcopy(config.model_dump())
    for dotted, value in way.items():
        *outer, last = dotted.split(".")
        section = values
        for key in outer:
            section = section.setdefault(key, {})
        section[last] = value
    token = _TRYING.set(True)
    try:
        config.model_validate(values)
    except ValidationError:
        return False
    finally:
        _TRYING.reset(token)
    return True


def _text(value: object) -> str:
    """A value as it is written on the command line, without blanks."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
