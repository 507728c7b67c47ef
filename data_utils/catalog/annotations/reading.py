"""From the columns of the catalogs, and files beside them, to what is known of every video."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from config.data import AnnotationKind, AnyDataset, LabelColumn
from config.errors import InputError
from data_utils.catalog.annotations.annotation import Annotation
from data_utils.catalog.annotations.boxes import boxes_of
from data_utils.catalog.annotations.captions import captions_beside, captions_of
from data_utils.catalog.annotations.classes import LabelSet, label_sets
from data_utils.catalog.annotations.level_columns import USUAL, level_columns
from data_utils.catalog.annotations.multi import multi_label_sets
from data_utils.catalog.catalog_file import require_columns
from data_utils.catalog.dataset_card import DatasetCard

logger = logging.getLogger(__name__)


@dataclass
class Known:
    """The annotations of a dataset."""

    judged_by: dict[str, str]
    """By level: the column that it is judged by."""
    labels: dict[str, dict[str, LabelSet]] = field(default_factory=dict)
    """By column and split: one class, or one for each part of a video. The last level's first."""
    others: dict[str, dict[str, Annotation]] = field(default_factory=dict)
    """By name and split: every other kind."""


def read_annotations(
    dataset: AnyDataset,
    card: DatasetCard | None,
    levels: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
) -> Known:
    """Reads all columns that the config, or the dataset, names; says where nothing can be scored.

    Args:
        dataset: the config's.
        card: of the dataset, where it has one.
        levels: what is judged by labels, lowest first.
        tables: catalog by split, as `read_csv` gives it.
        folder: of the CSV files.

    Raises:
        InputError: a column or file is missing or wrong, or is said to be of two kinds.
    """
    present = {column for table in tables.values() for column in table.columns}
    columns = level_columns(dataset, card, levels, present)
    kinds = _kinds(columns, dataset.annotations)
    beside = captions_beside([name for name, kind in kinds.items() if kind == "captions"], tables, folder)
    columns_needed = [name for name, kind in kinds.items() if kind != "boxes" and name not in beside]
    require_columns(tables, folder, columns_needed)
    known = Known({level: chosen.column for level, chosen in columns.items()})
    files = {split: folder / f"{split}.csv" for split in tables}
    for name, kind in kinds.items():
        if kind in (None, "single", "parts"):
            sets = label_sets(name, tables, files, kind)
            if sets:
                known.labels[name] = sets
            continue
        others = dict(beside[name]) if name in beside else _read_other(name, kind, tables, folder)
        if others:
            known.others[name] = others
    if not known.labels:
        logger.warning("nothing is scored by labels, as %s; all videos are trained on", _why_no_labels(dataset, known))
    return known


def _kinds(
    columns: Mapping[str, LabelColumn], annotations: Mapping[str, AnnotationKind]
) -> dict[str, AnnotationKind | None]:
    """By column its kind, None where its cells say it: that of the last level first, the further ones last."""
    kinds: dict[str, AnnotationKind | None] = {}
    said = [(chosen.column, chosen.kind) for chosen in reversed(list(columns.values()))]
    for column, kind in [*said, *annotations.items()]:
        known = kinds.get(column)
        if kind and known and kind != known:
            raise InputError(f"column '{column}' cannot be {known} and {kind}; give it one kind in dataset")
        kinds[column] = known or kind
    return kinds


def _read_other(name: str, kind: str, tables: Mapping[str, pd.DataFrame], folder: Path) -> dict[str, Annotation]:
    """An annotation that is not one class or one per part, by split; {} where it says nothing of any video."""
    found: Mapping[str, Annotation]
    match kind:
        case "multi":
            found = multi_label_sets(name, tables)
        case "captions":
            found = captions_of(name, tables)
        case _:
            found = boxes_of(name, tables, folder)
    return dict(found)


def _why_no_labels(dataset: AnyDataset, known: Known) -> str:
    """Why the dataset has no label set."""
    if dataset.labels == {}:
        return "dataset.labels is empty"
    if not known.judged_by:
        return f"there is no column '{USUAL}'"
    columns = list(dict.fromkeys(known.judged_by.values()))
    several = [column for column in columns if column in known.others]
    if several:
        return f"column '{several[0]}' holds several classes at once"
    return f"no video has a label in column '{columns[0]}'"
