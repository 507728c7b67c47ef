"""Catalogs of OmniMAE and PPMA: a YAML file that names, for each dataset and split, two `.npy` files and a prefix.

For dataset `d` and split `s`, `d_s_vids_path` holds paths (text) and `d_s_labels_path` class numbers, of one length;
`d_prefix` stands before every path. Either may be a list of places to look in: the first one that exists counts, and
paths and labels come from the same place of their lists. Training is `d_train`, or where both exist `d_train_train` and
`d_train_val`, which are its parts; `d_val` is what is tested on, so it is the split `test` here.

Arrays are read without pickle, whatever is in them.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.data import NpyDataset
from config.errors import InputError
from config.files import read_file
from config.places import place
from data_utils.catalog.source_groups import source_of

_NAMES = {"train": ("train_train", "train"), "val": ("train_val",), "test": ("test", "val")}
"""By split of ours, the names that it may have in a catalog; the first one that the catalog has counts."""
_ENDINGS = ("vids_path", "labels_path")


def read_npy_lists(dataset: NpyDataset, splits: Collection[str], optional: Collection[str]) -> dict[str, pd.DataFrame]:
    """The tables of a dataset, as `catalog_file.read_catalog_files` gives them, with a column `group`.

    Args:
        dataset: names the catalog and what it is called there.
        splits: to read.
        optional: those that the catalog may lack; then they have no table.

    Raises:
        InputError: the catalog or a list is missing or wrong, a path leaves `root`, or is in two splits.
    """
    file = place(dataset.catalog, "dataset.catalog")
    catalog = read_file(file)
    tables = {}
    for split in splits:
        names = _names(catalog, dataset.lists, split)
        given = _given(catalog, dataset.lists, names)
        if given is None:
            if split in optional:
                continue
            known = " or ".join(f"{dataset.lists}_{name}_{_ENDINGS[0]}" for name in names)
            raise InputError(f"{file}: the split {split} of {dataset.lists} needs {known}")
        tables[split] = _table(dataset, given, catalog.get(f"{dataset.lists}_prefix") or "", file)
    _refuse_in_two(tables, file)
    return tables


def _names(catalog: Mapping[str, Any], dataset: str, split: str) -> Sequence[str]:
    """What a split may be called: the parts of train only where there are both."""
    if split == "train" and f"{dataset}_train_val_{_ENDINGS[0]}" not in catalog:
        return ("train",)
    if split == "val" and f"{dataset}_train_train_{_ENDINGS[0]}" not in catalog:
        return ()
    return _NAMES[split]


def _given(catalog: Mapping[str, Any], dataset: str, names: Sequence[str]) -> list[tuple[str, list[str]]] | None:
    """Key and places of the paths, and of the labels, of the first split that the catalog has; None: it has none."""
    for name in names:
        keys = [f"{dataset}_{name}_{ending}" for ending in _ENDINGS]
        if any(key in catalog for key in keys):
            return [(key, _places(catalog.get(key))) for key in keys]
    return None


def _places(value: Any) -> list[str]:
    places = value if isinstance(value, list) else [value]
    return [str(given) for given in places if given is not None]


def _table(dataset: NpyDataset, given: list[tuple[str, list[str]]], prefix: str, catalog: Path) -> pd.DataFrame:
    """The rows of one split; the index numbers the entries."""
    (paths_key, paths_places), (labels_key, labels_places) = given
    if len(paths_places) != len(labels_places) or not paths_places:
        raise InputError(
            f"{catalog}: {paths_key} names {len(paths_places)} files and {labels_key} {len(labels_places)}; "
            "give one file of labels for each of paths"
        )
    pairs = [tuple(catalog.parent / name for name in pair) for pair in zip(paths_places, labels_places, strict=True)]
    found = next((pair for pair in pairs if pair[0].exists()), None)
    if found is None:
        raise InputError(f"{catalog}: {paths_key}: there is no {' and no '.join(str(pair[0]) for pair in pairs)}")
    paths, labels = _read(found[0], "U", "text"), _read(found[1], "iu", "whole numbers")
    if len(paths) != len(labels):
        raise InputError(
            f"{found[0]} has {len(paths)} paths, {found[1]} {len(labels)} labels; they do not belong together"
        )
    root = place(dataset.root, "dataset.root")
    places = [_inside(f"{prefix}{path}", root, f"{found[0]}, entry {n}") for n, path in enumerate(paths.tolist())]
    source = source_of(dataset.source or dataset.lists)
    return pd.DataFrame(
        {"path": places, "label": labels.astype(str), "group": [source(path) for path in places]}, dtype=str
    )


def _read(file: Path, kinds: str, what: str) -> NDArray[Any]:
    """A one-dimensional array of text or whole numbers. InputError: it is missing, damaged, or something else."""
    try:
        with file.open("rb") as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged header raises whatever it likes
        if "allow_pickle" in str(error):
            raise InputError(
                f"{file} holds Python objects, which are never loaded, as they may run foreign code; save {what}: "
                f"numpy.save(file, array.astype({'str' if kinds == 'U' else 'int'}))"
            ) from None
        raise InputError(f"{file} is not a complete .npy file; save it again") from None
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise InputError(f"{file} is an array of {array.ndim} dimensions of {array.dtype}; save a list of {what}")
    if not len(array):
        raise InputError(f"{file} is an empty list; save it with entries")
    return np.asarray(array)


def _inside(path: str, root: Path, where: str) -> str:
    """A path relative to `root`. InputError: it leaves it."""
    base = os.path.abspath(root)  # noqa: PTH100  links stay as they are
    relative = posixpath.relpath(posixpath.normpath(posixpath.join(base, path)), base)
    if relative == "." or relative.split("/")[0] == "..":
        raise InputError(f"{where}: {path} is not inside dataset.root={root}; set it to a folder that holds all videos")
    return relative


def _refuse_in_two(tables: Mapping[str, pd.DataFrame], catalog: Path) -> None:
    seen: dict[str, str] = {}
    for split, table in tables.items():
        for entry, path in table["path"].items():
            if path in seen:
                raise InputError(
                    f"{catalog}: {path}, entry {entry} of {split}, is in {seen[path]} already; keep one of the two: "
                    "what is trained on must not be tested on"
                )
            seen[path] = f"entry {entry} of {split}"
