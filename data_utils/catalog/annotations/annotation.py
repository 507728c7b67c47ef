"""The contract of every kind of annotation."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from config.data import AnnotationKind


class Annotation(Protocol):
    """An annotation of the videos of one split, by the catalog's rows: batches carry rows, and this is joined late."""

    @property
    def name(self) -> str:
        """The column, or the file beside the catalogs without its ending."""
        ...

    @property
    def kind(self) -> AnnotationKind:
        """The kind of annotation."""
        ...

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[N] whether it says anything of each video."""
        ...

    def text(self, row: int) -> str:
        """The text for a video in a figure's caption; empty if nothing is known."""
        ...

    def with_rows(self, keep_N: NDArray[np.bool_]) -> Self:
        """The annotation of some of the rows."""
        ...
