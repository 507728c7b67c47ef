"""One class under two spellings would count as two: "ApplyEyeMakeup" of a list, "apply_eye_makeup" of a folder."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from config.errors import InputError

# Apostrophes and round brackets too: downloaders drop them from the names of folders.
_LEFT_OUT = re.compile(r"[\s_\-'’‘`()]+")


@lru_cache(maxsize=8192)
def spelling_key(name: str) -> str:
    """Reduces all spellings of a class to one: letters without case, no spaces, underscores, hyphens."""
    name = unicodedata.normalize("NFC", name)
    return _LEFT_OUT.sub("", name).casefold() or name


class ClassNames:
    """The official classes of a dataset, found whatever their spelling."""

    def __init__(self, names: Iterable[str], source: Path) -> None:
        """Takes the official spellings, each once.

        Raises:
            InputError: there are none, or two differ in nothing but spaces, underscores, hyphens and case.
        """
        self.source = source
        self._by_key: dict[str, str] = {}
        for name in names:
            first = self._by_key.setdefault(spelling_key(name), name)
            if first != name:
                raise InputError(f"{source}: the classes '{first}' and '{name}' differ in spelling only; rename one")
        if not self._by_key:
            raise InputError(f"{source} names no classes; fill it in")

    @property
    def names(self) -> list[str]:
        """The official spellings, in the order in which they were given."""
        return list(self._by_key.values())

    def find(self, name: str) -> str | None:
        """The official spelling of `name`; None where it is not a class."""
        return self._by_key.get(spelling_key(name))

    def resolve(self, name: str, where: str) -> str:
        """The official spelling of `name`.

        Args:
            name: in any spelling.
            where: file and line that it stands in, for the message.

        Raises:
            InputError: it is not a class.
        """
        found = self.find(name)
        if found is None:
            near = difflib.get_close_matches(spelling_key(name), self._by_key, n=1)
            hint = f"; did you mean '{self._by_key[near[0]]}'?" if near else "; correct it"
            raise InputError(f"{where}: '{name}' is not a class of {self.source}{hint}")
        return found
