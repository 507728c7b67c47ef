"""What the CSV of a prepared dataset says is taken at its word, so it must be well-formed, and the files must be there.

Nothing is decoded: `prepare.py` has decoded every video, and stores frames that carry their own check sums.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog.dataset_card import FILE_NAME, Format
from data_utils.video_files.inspection import FACTS

_WHOLE = re.compile("[0-9]{1,9}")
_IN_SHARD = re.compile("[^#]+#[0-9]{1,9}")
# Folders of single videos are too many to look at all of them.
_LOOKED_AT = 100


def with_stored_facts(table: pd.DataFrame, file: Path, stored_as: Format) -> pd.DataFrame:
    """The table with numbers for FACTS, right after `path`; its index counts rows.

    Args:
        table: as `read_csv` gives it, with text cells.
        file: the CSV, for messages.
        stored_as: the dataset's format, not `video`.

    Raises:
        InputError: a column is missing, or a cell is not a number or place of this kind.
    """
    missing = [column for column in ("stored", *FACTS) if column not in table]
    if missing:
        raise InputError(
            f"{file} has no column '{missing[0]}', but {FILE_NAME} says that the videos are stored as {stored_as}; "
            "run prepare.py again"
        )
    if stored_as != "frames":
        _require_places_in_shards(table, file)
    whole = {
        name: _numbers(table, name, file, _whole_number, "whole number >= 1").astype(np.int64) for name in FACTS[:-1]
    }
    numbers = whole | {"fps": _numbers(table, "fps", file, _rate, "number >= 0")}
    table = table.reset_index(drop=True)
    others = table.drop(columns=["path", *FACTS])
    return pd.concat([table[["path"]], pd.DataFrame(numbers), others], axis=1)


def require_stored_files(root: Path, tables: Mapping[str, pd.DataFrame], stored_as: Format) -> None:
    """Looks whether the dataset is where the CSV files say: at all shards, or at some of the videos' folders.

    Raises:
        InputError: a shard or folder is missing or cannot be read.
    """
    for table in tables.values():
        places = table["stored"]
        if stored_as == "frames":
            sample = np.unique(np.linspace(0, len(places) - 1, _LOOKED_AT).astype(int))
            files = places.iloc[sample].tolist()
        else:
            files = sorted({place.rpartition("#")[0] for place in places.tolist()})
        for file in files:
            _require(root / file, folder=stored_as == "frames")


def _require(place: Path, folder: bool) -> None:
    try:
        # What may be opened is asked by opening it: NFS and access lists know rights that a file's mode does not show.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{place} is missing; run prepare.py again") from None
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror}; fix its permissions") from error
    mode = os.fstat(descriptor).st_mode
    os.close(descriptor)
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise InputError(f"{place} is not a {'folder' if folder else 'file'}; run prepare.py again")


def _require_places_in_shards(table: pd.DataFrame, file: Path) -> None:
    """Every cell of `stored` must name a shard and the video's number in it."""
    is_place = _IN_SHARD.fullmatch
    wrong = next((row for row, place in enumerate(table["stored"].tolist()) if not is_place(place)), None)
    if wrong is not None:
        raise InputError(
            f"{file}, line {table.index[wrong]}: '{table['stored'].iloc[wrong]}' in column 'stored' is not a shard and "
            "number such as shards/00000.h5#0; run prepare.py again"
        )


def _numbers(
    table: pd.DataFrame, column: str, file: Path, parse: Callable[[str], float], kind: str
) -> NDArray[np.float64]:
    """The column as numbers; `parse` gives NaN for what is none."""
    codes, cells = pd.factorize(table[column])  # in order of appearance
    values = np.array([parse(cell) for cell in cells], np.float64)
    wrong = np.flatnonzero(np.isnan(values))
    if len(wrong):
        line = table.index[codes == wrong[0]][0]
        raise InputError(
            f"{file}, line {line}: '{cells[wrong[0]]}' in column '{column}' is not a {kind}; run prepare.py again"
        )
    return values[codes]


def _whole_number(cell: str) -> float:
    return int(cell) if _WHOLE.fullmatch(cell) and int(cell) > 0 else math.nan


def _rate(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and value >= 0 else math.nan
