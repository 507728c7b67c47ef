"""Any folder of videos, or a CSV that lists them, as train.csv, val.csv and test.csv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.catalog_file import SPLITS, read_csv
from runs.atomic import write_text

EXTENSIONS = frozenset(
    (".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
)


@dataclass(frozen=True)
class Columns:
    """Names of a CSV's columns."""

    path: str = "path"
    label: str = "label"
    group: str | None = None


def prepare(
    raw: Path, out: Path, csv: Path | None, columns: Columns, shares: Mapping[str, float], seed: int
) -> dict[str, pd.DataFrame]:
    """Writes `<split>.csv` (path, label and, where given, group) into `out`.

    Args:
        raw: folder that the paths are relative to; without `csv` it holds `class/video.ext`.
        out: folder of the catalogs, made where it is missing.
        csv: lists the videos; None: all of `raw`.
        columns: the CSV's columns; all videos of a group go into the same split.
        shares: of `val` and `test`; `train` gets the rest.
        seed: what is drawn depends on it alone.

    Returns:
        The tables by split.

    Raises:
        InputError: there are no videos or too few for the splits, the CSV is wrong, or `out` holds another split.
    """
    if not raw.is_dir():
        raise InputError(f"{raw} is no folder; set --raw")
    if min(shares.values()) <= 0 or sum(shares.values()) >= 1:
        raise InputError("--val and --test must be above 0 and leave something for train")
    table = _from_folder(raw) if csv is None else _from_csv(csv, columns)
    parts = _by_group(table, shares, seed) if columns.group else _by_class(table, shares, seed)
    tables = {split: table[parts == split].reset_index(drop=True) for split in SPLITS}
    _write(tables, out)
    return tables


def _from_folder(raw: Path) -> pd.DataFrame:
    """Videos of `raw/class/`, hidden files left out, in the order of their names."""
    videos = [
        (f"{folder.name}/{file.name}", folder.name)
        for folder in sorted(raw.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
    ]
    if not videos:
        raise InputError(
            f"{raw} holds no class/video.ext with one of {' '.join(sorted(EXTENSIONS))}; set --raw or --csv"
        )
    for path, _ in videos:
        if any("\ud800" <= character <= "\udfff" for character in path):  # bytes that are no UTF-8
            raise InputError(f"{raw / ascii(path)}: a file name must be UTF-8; rename it")
    return pd.DataFrame(videos, columns=["path", "label"])


def _from_csv(file: Path, columns: Columns) -> pd.DataFrame:
    table = read_csv(file)
    wanted = {columns.path: "path", columns.label: "label"} | ({columns.group: "group"} if columns.group else {})
    for column in wanted:
        if column not in table.columns:
            raise InputError(f"{file} has no column '{column}', only {', '.join(table.columns)}")
        empty = table.index[table[column] == ""]
        if len(empty):
            raise InputError(f"{file}, line {empty[0]}: nothing in column '{column}'; fill it in")
    twice = table.index[table[columns.path].duplicated()]
    if len(twice):
        raise InputError(f"{file}, line {twice[0]}: {table[columns.path][twice[0]]} is listed before; keep one")
    return pd.DataFrame({name: table[column] for column, name in wanted.items()}).reset_index(drop=True)


def _rows(table: pd.DataFrame, column: str) -> dict[str, NDArray[np.intp]]:
    """The rows of every value of a column, in the order of the values."""
    return {value: np.flatnonzero(table[column] == value) for value in sorted(set(table[column]))}


def _by_class(table: pd.DataFrame, shares: Mapping[str, float], seed: int) -> NDArray[np.str_]:
    """The split of every row: the shares hold within each class as far as its size allows."""
    parts = np.full(len(table), "train", dtype="<U5")
    for number, (label, rows) in enumerate(_rows(table, "label").items()):
        if len(rows) < len(SPLITS):
            raise InputError(f"class '{label}' has {len(rows)} videos, too few for {' and '.join(SPLITS)}; add some")
        _deal(parts, [rows[i : i + 1] for i in range(len(rows))], shares, np.random.default_rng([seed, number]))
    return parts


def _by_group(table: pd.DataFrame, shares: Mapping[str, float], seed: int) -> NDArray[np.str_]:
    """The split of every row: no group is in two."""
    parts = np.full(len(table), "train", dtype="<U5")
    groups = list(_rows(table, "group").values())
    if len(groups) < len(SPLITS):
        raise InputError(f"{len(groups)} groups cannot be dealt to {', '.join(SPLITS)}; choose another --group-column")
    _deal(parts, groups, shares, np.random.default_rng(seed))
    return parts


def _deal(
    parts: NDArray[np.str_],
    groups: list[NDArray[np.intp]],
    shares: Mapping[str, float],
    generator: np.random.Generator,
) -> None:
    """Gives val and test their share of the groups, at least one each, and leaves at least one to train."""
    order = generator.permutation(len(groups))
    for later, (split, share) in enumerate(sorted(shares.items())):
        others = len(shares) - later  # train, and the splits that come after this one, need one group each
        count = min(max(1, round(share * len(groups))), len(order) - others)
        for number in order[:count]:
            parts[groups[number]] = split
        order = order[count:]


def _write(tables: Mapping[str, pd.DataFrame], out: Path) -> None:
    texts = {out / f"{split}.csv": table.to_csv(index=False, lineterminator="\n") for split, table in tables.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        different = [file for file, text in texts.items() if file.exists() and file.read_bytes() != text.encode()]
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}; choose another --out") from error
    if different:
        raise InputError(f"{different[0]} exists and differs; remove it or choose another --out")
    for file, text in texts.items():
        try:
            write_text(file, text)
        except InputError as error:  # speaks of the run's folder
            raise InputError(f"{file} cannot be written; free the disk or choose another --out") from error
