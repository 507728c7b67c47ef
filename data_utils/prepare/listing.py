"""What a dataset module finds in a download: the videos, their split and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog_file import SPLITS
from data_utils.prepare.disk import is_text, refuse_bytes

MISSING = "missing"
_NAMED = 5


@dataclass(frozen=True)
class Listing:
    """One row per video that is listed and on the disk."""

    name: str
    """The dataset."""
    table: pd.DataFrame
    """Text columns: split, path (relative to the raw folder, unique), label; group, caption, ... where there are."""
    flip: float
    """Share of training windows to be mirrored: 0.5, or 0 where the labels know left from right."""
    absent: list[tuple[str, str, str]] = field(default_factory=list)
    """(split, path, reason) of what the lists name and the disk does not hold; not in `table`."""
    notes: list[str] = field(default_factory=list)
    """What the user should know: one line each."""


def make_listing(
    name: str,
    raw: Path,
    table: pd.DataFrame,
    reasons: Sequence[str | None] | NDArray[np.object_],
    flip: float,
    notes: Sequence[str],
) -> Listing:
    """Sorts the rows of a dataset by split, sets apart what is absent, and refuses what training could not use.

    Args:
        name: the dataset.
        raw: folder of the download.
        table: text columns `split`, `path`, `label` and others; what is absent too.
        reasons: why a row is absent; None where it is on the disk.
        flip: share of windows that may be mirrored.
        notes: what the user should know.

    Raises:
        InputError: a split has no video on the disk, or something is no UTF-8.
    """
    why = np.asarray(reasons, object)
    gone = np.array([reason is not None for reason in why], np.bool_)
    absent = [
        (split, path, reason)
        for split, path, reason in zip(
            table["split"][gone].tolist(), table["path"][gone].tolist(), why[gone], strict=True
        )
    ]
    there = table[~gone]
    parts = [there[there["split"] == split] for split in SPLITS]
    for split, part in zip(SPLITS, parts, strict=True):
        if part.empty:
            listed = int((table["split"] == split).sum())
            raise InputError(
                f"{raw} holds none of the {listed} videos of {split}; set --raw to the folder of the videos"
                if listed
                else f"{raw}: no video is left for {split}; give more videos, or other shares"
            )
        refuse_bytes(raw, part["path"].tolist())
        for column in part.columns:
            strange = [value for value in part[column].unique().tolist() if not is_text(value)]
            if strange:
                raise InputError(
                    f"{raw}: {min(strange)!a} is a {column} that no UTF-8 file can hold; correct the lists"
                )
    there = pd.concat(parts, ignore_index=True)
    return Listing(name, there, flip, absent, [*notes, *_class_notes(there)])


def _class_notes(table: pd.DataFrame) -> list[str]:
    """One line for each split that lacks classes of the others."""
    notes = []
    classes = set(table["label"].unique())
    for split in SPLITS:
        lacking = sorted(classes - set(table["label"][table["split"] == split].unique()))
        if lacking:
            named = ", ".join(lacking[:_NAMED]) + (", ..." if len(lacking) > _NAMED else "")
            count = "1 class has" if len(lacking) == 1 else f"{len(lacking)} classes have"
            notes.append(f"{count} no {split} video: {named}")
    return notes
