"""What a reader must know of every video, such as its number of frames: workers would copy a dict of a million paths.

Processes that share Python objects copy the memory of all that they touch; arrays stay shared.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class NumbersByPath:
    """A whole number by path."""

    def __init__(self, root: str, paths: NDArray[np.object_], numbers: Iterable[int]) -> None:
        """Keeps hashes of the paths only.

        Args:
            root: the folder that the paths are relative to.
            paths: [N] str.
            numbers: [N].
        """
        self._root = root.rstrip("/") + "/"
        hashes = hashes_of(paths)
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._numbers = np.asarray(numbers, np.int64)[order]

    def of(self, path: str) -> int | None:
        """The number of `path`, which begins with the root; None where it is not known."""
        key = hashes_of(np.array([path.removeprefix(self._root)], object))[0]
        place = int(np.searchsorted(self._hashes, key))
        found = place < len(self._hashes) and self._hashes[place] == key
        return int(self._numbers[place]) if found else None


def hashes_of(texts: NDArray[np.object_]) -> NDArray[np.int64]:
    """A number for each text, the same everywhere and always."""
    from pandas.util import hash_array  # its import takes a second, and processes that convert videos never get here

    return np.asarray(hash_array(texts, categorize=False), np.uint64).view(np.int64)
