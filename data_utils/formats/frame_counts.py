"""How many frames verification found in every file, for readers: a million paths in a dict would be copied by workers.

Processes that share Python objects copy the memory of all that they touch; arrays stay shared.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array


class FrameCounts:
    """Number of frames by path."""

    def __init__(self, root: str, paths: NDArray[np.object_], frames: Iterable[int]) -> None:
        """Keeps hashes of the paths only.

        Args:
            root: the folder that the paths are relative to.
            paths: [N] str.
            frames: [N].
        """
        self._root = root.rstrip("/") + "/"
        hashes = _hashes(paths)
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._frames = np.asarray(frames, np.int64)[order]

    def of(self, path: str) -> int | None:
        """The number of frames of `path`, which begins with the root; None where it is not known."""
        key = _hashes(np.array([path.removeprefix(self._root)], object))[0]
        place = int(np.searchsorted(self._hashes, key))
        found = place < len(self._hashes) and self._hashes[place] == key
        return int(self._frames[place]) if found else None


def _hashes(paths: NDArray[np.object_]) -> NDArray[np.uint64]:
    return np.asarray(hash_array(paths, categorize=False), np.uint64)
