"""A sentence for each video, in a column of the catalog or in a file beside it.

The file has a row for each video of any split, by its path, where the catalog itself is to stay as it is:

    path,caption
    kitchen/7.mp4,a hand takes a cup
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog.catalog_file import normalise_paths, read_csv
from data_utils.catalog.label_text import normal_text


@dataclass(frozen=True)
class Captions:
    """A column of text of one split."""

    name: str
    """The column."""
    texts: NDArray[np.object_]
    """[N] str, blanks around and doubled ones taken out; empty where a video has no caption."""
    kind: Literal["captions"] = "captions"

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[N] whether each video has a caption."""
        known: NDArray[np.bool_] = self.texts != ""
        return known

    def text(self, row: int) -> str:
        """The caption of a video; empty where it has none."""
        return str(self.texts[row])

    def with_rows(self, keep_N: NDArray[np.bool_]) -> Self:
        """The captions of some of the videos."""
        return replace(self, texts=self.texts[keep_N])


def captions_of(column: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, Captions]:
    """The captions of every split, from a column of its table; {} where no video of any split has one."""
    captions = {}
    for split, table in tables.items():
        texts = np.array([normal_text(cell) for cell in table[column].tolist()], object)
        captions[split] = Captions(column, texts)
    return captions if any(one.is_known.any() for one in captions.values()) else {}


def captions_beside(
    names: Sequence[str], tables: Mapping[str, pd.DataFrame], folder: Path
) -> dict[str, dict[str, Captions]]:
    """By name and split, the captions that are no column of any split but have a file, `<name>.csv`, beside them.

    Args:
        names: of the captions that are wanted.
        tables: catalog by split, as `read_csv` gives it.
        folder: of the CSV files.

    Raises:
        InputError: a file is no CSV, lacks a column, or lists a video twice.
    """
    columns = {column for table in tables.values() for column in table.columns}
    found = {}
    for name in names:
        file = folder / f"{name}.csv"
        if name not in columns and file.is_file():
            found[name] = captions_of(name, _with_column(name, file, tables))
    return found


def _with_column(name: str, file: Path, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """By split, a table with the captions of a file as a column; empty where the file does not list a video."""
    listed = read_csv(file)
    for column in ("path", name):
        if column not in listed:
            raise InputError(f"{file} has no column '{column}'; captions need path and {name}")
    normalise_paths(listed, "path", file)
    twice = listed.index[listed["path"].duplicated()]
    if len(twice):
        raise InputError(f"{file}, line {twice[0]}: {listed['path'].loc[twice[0]]} is listed before; keep one")
    texts = listed.set_index("path")[name]
    return {split: pd.DataFrame({name: texts.reindex(table["path"]).fillna("")}) for split, table in tables.items()}
