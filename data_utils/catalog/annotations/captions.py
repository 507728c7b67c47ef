"""A sentence for each video, in a column of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
