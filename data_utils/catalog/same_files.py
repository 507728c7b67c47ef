"""Machines that train together may see other files under the same path: a copy that was broken off, another disk."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from config.errors import InputError
from data_utils.catalog.catalog import Catalog

_SOME = 1000
_FOLDER, _MISSING = -1, -2  # in the place of a size, which of a folder is no fact of what it holds

Sizes = Mapping[str, Mapping[str, int]]
"""By name of a dataset, "" for the first one: bytes of its files, by their path in its folder."""


def file_sizes(catalog: Catalog) -> Sizes:
    """Sizes of the files that a catalog and its further datasets are read from: all of one, or 1000 evenly apart."""
    return {name: _sizes(each) for name, each in {"": catalog, **catalog.further}.items()}


def check_file_sizes(catalog: Catalog, sizes: Sizes, who: str) -> None:
    """Raises InputError where a file here has another size than `sizes` says, or there is none; `who`: is here."""
    for name, each in {"": catalog, **catalog.further}.items():
        for file, size in sizes[name].items():
            here = _size(each, file)
            if here != size:
                raise InputError(
                    f"the data of {who} are not those of process 0: {each.root / file} {_told(here)} here and "
                    f"{_told(size)} there; give all machines the same files under the same path"
                )


def _sizes(catalog: Catalog) -> dict[str, int]:
    files = sorted({str(stored).partition("#")[0] for stored in catalog.stored})
    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), _SOME)).round().astype(int))
    return {files[number]: _size(catalog, files[number]) for number in chosen}


def _size(catalog: Catalog, file: str) -> int:
    path = catalog.root / file
    try:
        return _FOLDER if path.is_dir() else path.stat().st_size
    except OSError:
        return _MISSING


def _told(size: int) -> str:
    return {_FOLDER: "is a folder", _MISSING: "is missing"}.get(size, f"has {size:,} bytes")
