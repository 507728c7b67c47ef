"""The listing that a dataset module makes of a download: the videos, their split and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog.catalog_file import SPLITS
from data_utils.catalog.label_text import SEPARATOR, normal_label
from data_utils.prepare.class_names import spelling_key
from data_utils.prepare.disk import is_text, refuse_bytes
from data_utils.prepare.sources import Unused

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
    """Notes for the user, one line each."""
    folders: frozenset[str] = frozenset()
    """The paths that are folders of frames."""
    unused: list[Unused] = field(default_factory=list)
    """Files of the download that are not videos of the dataset, as far as the listing knows a reason."""
    has_walked: bool = False
    """Whether `unused` names all of them."""


def make_listing(
    name: str,
    raw: Path,
    table: pd.DataFrame,
    reasons: Sequence[str | None] | NDArray[np.object_],
    flip: float,
    notes: Sequence[str],
    folders: frozenset[str] = frozenset(),
    unused: Sequence[Unused] = (),
    where: Sequence[str] | None = None,
    has_walked: bool = False,
) -> Listing:
    """Sorts the rows of a dataset by split, sets apart what is absent, and refuses what training could not use.

    Args:
        name: the dataset.
        raw: folder of the download.
        table: text columns `split`, `path`, `label` and others; what is absent too.
        reasons: why a row is absent; None where it is on the disk.
        flip: share of windows that may be mirrored.
        notes: what the user should know.
        folders: paths that are folders of frames.
        unused: files of the download that are not videos of the dataset, as far as they are known.
        where: file and line that each row stands in, for messages.
        has_walked: whether `unused` names all such files.

    Raises:
        InputError: no training video is on the disk, or something is not UTF-8.
    """
    table = table.assign(label=table["label"].map(normal_label))
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
    _refuse_empty_train(raw, table, gone, where)
    for part in parts:
        refuse_bytes(raw, part["path"].tolist())
        for column in part.columns:
            strange = [value for value in part[column].unique().tolist() if not is_text(value)]
            if strange:
                raise InputError(
                    f"{raw}: {min(strange)!a} is a {column} that no UTF-8 file can hold; correct the lists"
                )
    there = pd.concat(parts, ignore_index=True)
    notes = [*notes, *_missing_notes(table, gone), *_class_notes(there)]
    return Listing(name, there, flip, absent, notes, folders, list(unused), has_walked)


def _refuse_empty_train(raw: Path, table: pd.DataFrame, gone: NDArray[np.bool_], where: Sequence[str] | None) -> None:
    """InputError where no training video is on the disk; it shows which path was looked for, and who asked for it."""
    train = (table["split"] == "train").to_numpy()
    if (train & ~gone).any():
        return
    if not train.any():
        raise InputError(f"{raw}: no video is left for train; give more videos, or other shares")
    first = int(np.flatnonzero(train)[0])
    asked = f", which {where[first]} asks for," if where else ""
    raise InputError(
        f"{raw} holds none of the {train.sum()} videos of train: "
        f"{raw / table['path'].iloc[first]!s}{asked} is not there; set --raw to the folder that the paths begin in"
    )


def _missing_notes(table: pd.DataFrame, gone: NDArray[np.bool_]) -> list[str]:
    """One line for each split of which nothing is on the disk."""
    notes = []
    for split in SPLITS[1:]:
        rows = (table["split"] == split).to_numpy()
        if rows.any() and gone[rows].all():
            notes.append(f"none of the {rows.sum()} videos of {split} is on the disk")
    return notes


def _class_notes(table: pd.DataFrame) -> list[str]:
    """Notes about the labels: classes that look alike, videos without any, classes that a split lacks."""
    notes = []
    classes = set(table["label"].unique()) - {""}
    alike: dict[str, list[str]] = {}
    for name in sorted(classes):
        alike.setdefault(spelling_key(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            told = " and ".join(f"'{name}'" for name in names)
            notes.append(f"{told} count as {len(names)} classes, though they differ in spelling only; write them alike")
    numbers = sorted({name.count(SEPARATOR) + 1 for name in classes})
    if len(numbers) > 1:
        notes.append(
            f"'{SEPARATOR}' separates the labels of a video's parts, and there are {numbers[0]} to {numbers[-1]} a "
            "video; training wants as many for every video"
        )
    unlabelled = int((table["label"] == "").sum())
    if classes and unlabelled:
        notes.append(f"{unlabelled} of {len(table)} videos have no label: they train and are not scored")
    for split in SPLITS:
        part = table["label"][table["split"] == split]
        lacking = sorted(classes - set(part.unique()))
        if lacking and len(part):
            named = ", ".join(lacking[:_NAMED]) + (", ..." if len(lacking) > _NAMED else "")
            count = "1 class has" if len(lacking) == 1 else f"{len(lacking)} classes have"
            notes.append(f"{count} no {split} video: {named}")
    return notes
