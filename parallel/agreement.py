"""Processes that were started with other configs would train a mixture of both, or wait for each other for ever."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from config.errors import InputError
from parallel.group import Group

_LONGEST = 60  # letters of a value in a message


def check_agreement(group: Group, given: Mapping[str, Any]) -> None:
    """Looks whether all processes were given the same.

    Args:
        group: the processes, all of which call this.
        given: values by name.

    Raises:
        InputError: a value differs, in every process.
    """
    here = socket.gethostname(), {name: repr(value) for name, value in given.items()}
    first, *others = group.gather(here)
    for rank, (host, values) in enumerate(others, start=1):
        names = [*first[1], *(name for name in values if name not in first[1])]
        for name in names:
            there, wanted = values.get(name, "not there"), first[1].get(name, "not there")
            if there != wanted:
                raise InputError(
                    f"the processes disagree: {name} is {_short(wanted)} for process 0 ({first[0]}) and "
                    f"{_short(there)} for process {rank} ({host}); start all of them with the same program and config"
                )


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A mapping of mappings as one: values by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
