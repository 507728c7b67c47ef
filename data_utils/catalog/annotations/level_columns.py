"""Which label column judges which level: the config's word, else the dataset's, else `label`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args

from config.data import AnyDataset, LabelColumn, LabelColumns
from config.errors import InputError
from config.section import LevelName
from data_utils.catalog.dataset_card import FILE_NAME, DatasetCard

USUAL = "label"
"""The column that judges all levels where nothing is said."""


def level_columns(
    dataset: AnyDataset, card: DatasetCard | None, levels: Sequence[str], present: Collection[str]
) -> dict[str, LabelColumn]:
    """The column that each level is judged by.

    Args:
        dataset: the config's; its `labels` win.
        card: the dataset's own word, where it has one.
        levels: the hierarchy's, lowest first. `backbone` is judged by the column of `space` where it has none of its
            own.
        present: the columns that some split has.

    Returns:
        By level, in their order; {} where the dataset has no labels.

    Raises:
        InputError: `labels` leaves a level out.
    """
    if dataset.labels is not None:
        return _by_level(dataset.labels, levels, "dataset.labels")
    if card is not None and card.labels is not None:
        said = dict(card.labels)
        if levels[-1] == "time" and "clip" in said:
            # No level joins clips: the only clip is the whole video, and shows what that shows.
            said["time"] = said["clip"]
        return _by_level(said, levels, f"labels of {FILE_NAME}")
    return {level: LabelColumn(column=USUAL) for level in levels} if USUAL in present else {}


def highest_column(dataset: AnyDataset, card: DatasetCard | None, present: Collection[str]) -> str | None:
    """The column that judges the highest level, whatever the levels of the run; None where there is none.

    Args:
        dataset: as for `level_columns`.
        card: as for `level_columns`.
        present: the columns that there are.
    """
    said = dataset.labels if dataset.labels is not None else card.labels if card is not None else None
    columns: list[str] = [USUAL] if said is None else []
    for level in reversed(get_args(LevelName)):
        if said and level in said:
            column = said[level]
            columns.append(column if isinstance(column, str) else column.column)
    return next((column for column in columns if column in present), None)


def _by_level(said: LabelColumns, levels: Sequence[str], where: str) -> dict[str, LabelColumn]:
    if not said:
        return {}
    columns = {
        str(level): LabelColumn(column=column) if isinstance(column, str) else column for level, column in said.items()
    }
    if "space" in columns:
        columns.setdefault("backbone", columns["space"])
    missing = [level for level in levels if level not in columns]
    if missing:
        raise InputError(
            f"{where} names no column for {' and '.join(missing)}; give one for every level of groups in "
            f"dataset.labels, or null to judge all by `{USUAL}`"
        )
    return {level: columns[level] for level in levels}
