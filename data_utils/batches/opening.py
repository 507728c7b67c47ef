"""From CSV files to the catalogs of a dataset: what can be read, is long enough, and is known to show what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from config.data import AnyListed, DataConfig, NpyDataset
from config.errors import InputError
from config.places import place
from data_utils.batches.short_videos import without_short
from data_utils.batches.windows import NO_FRAME_RATE, without_rate
from data_utils.catalog.annotations.reading import Known, read_annotations
from data_utils.catalog.annotations.untrained import tell_untrained
from data_utils.catalog.bad_videos import BadVideos, forget
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.catalog_file import SPLITS, read_catalog_files
from data_utils.catalog.dataset_card import FILE_NAME, DatasetCard, catalog_folder, read_card
from data_utils.catalog.missing_val import DrawnVal, draw_val
from data_utils.catalog.npy_lists import read_npy_lists
from data_utils.catalog.stored_facts import require_stored_files, with_stored_facts
from data_utils.video_files.facts_cache import verified_videos
from data_utils.video_files.inspection import FACTS


def open_catalogs(
    data: DataConfig, levels: Sequence[str], bad_videos_csv: Path, name: str | None = None
) -> dict[str, Catalog]:
    """Reads the catalogs of all splits of one dataset; a run may open several.

    Video files are all decoded once, unless an earlier run knows what that gives. What `prepare.py` has decoded and
    stored is taken at its word: its facts are in the CSV.

    Args:
        data: which dataset, and how it is read.
        levels: what is judged by labels, lowest first.
        bad_videos_csv: list of the videos that cannot be read; what it says of this dataset is written anew. Its
            folder must exist.
        name: what the list calls the dataset; None: the folder of its CSV files.

    Returns:
        A Catalog for `train`, `val` and `test`, without bad videos, and without short ones where they are skipped.

    Raises:
        InputError: a catalog is missing, empty or wrong, too many videos are bad, or all are too short.
    """
    listed = isinstance(data.dataset, AnyListed)  # and not made, with all its splits
    return _opened(data, levels, bad_videos_csv, name, SPLITS, optional=["val"] if listed else [])


def open_training_catalog(
    data: DataConfig, levels: Sequence[str], bad_videos_csv: Path, name: str | None = None
) -> Catalog:
    """The catalog of the split `train` alone, of a dataset that may have no other; see `open_catalogs`."""
    return _opened(data, levels, bad_videos_csv, name, ["train"])["train"]


def _opened(
    data: DataConfig,
    levels: Sequence[str],
    bad_videos_csv: Path,
    name: str | None,
    splits: Sequence[str],
    optional: Sequence[str] = (),
) -> dict[str, Catalog]:
    root = place(data.dataset.root, "dataset.root")
    folder = catalog_folder(data)
    if isinstance(data.dataset, NpyDataset):
        tables = read_npy_lists(data.dataset, splits, optional)
    else:
        tables = read_catalog_files(folder, root, optional, splits)
    card = None if isinstance(data.dataset, NpyDataset) else read_card(folder)
    known = read_annotations(data.dataset, card, levels, tables, folder)
    catalogs = {split: _listed(split, root, table, known) for split, table in tables.items()}
    drawn = None
    without_val = "val" in splits and "val" not in tables
    if without_val and isinstance(data.dataset, AnyListed):  # told before the videos are looked at
        drawn = draw_val(tables["train"], data.dataset, card, folder)
    catalogs, reasons = _with_facts(catalogs, folder, card, data.num_workers)
    if isinstance(data.dataset, NpyDataset):
        catalogs = {split: _with_folder_rate(catalog, data.dataset.folder_fps) for split, catalog in catalogs.items()}
    if drawn:
        catalogs, reasons = _with_val(catalogs, reasons, drawn)
    for split, catalog in catalogs.items():
        for row in np.flatnonzero(without_rate(catalog.table["fps"].to_numpy(np.float64), data.window)):
            reasons[split].setdefault(int(row), NO_FRAME_RATE)
    forget(bad_videos_csv, name or str(folder))  # a video that was repaired meanwhile is not bad any more
    bad = open_bad_videos(data, catalogs, bad_videos_csv, name)
    bad.add(failure for split, catalog in catalogs.items() for failure in catalog.failures(reasons[split].items()))
    return {split: without_short(_without_bad(catalog, reasons[split]), data) for split, catalog in catalogs.items()}


def open_bad_videos(
    data: DataConfig, catalogs: Mapping[str, Catalog], bad_videos_csv: Path, name: str | None = None
) -> BadVideos:
    """The list of the bad videos of a dataset, for those that are found later; arguments as for `open_catalogs`."""
    listed = sum(catalog.listed for catalog in catalogs.values())
    return BadVideos(bad_videos_csv, listed, data.max_bad_videos, name or str(catalog_folder(data)))


def _listed(split: str, root: Path, table: pd.DataFrame, known: Known) -> Catalog:
    """A split as its CSV file lists it."""
    return Catalog(
        split,
        root,
        table,
        {column: of_split[split] for column, of_split in known.labels.items()},
        len(table),
        judged_by=known.judged_by,
        annotations={name: of_split[split] for name, of_split in known.others.items()},
    )


def _with_facts(
    catalogs: Mapping[str, Catalog], folder: Path, card: DatasetCard | None, num_workers: int
) -> tuple[dict[str, Catalog], dict[str, dict[int, str]]]:
    """The catalogs with frames, sizes and rates, and by split the bad videos' rows and why they are bad."""
    if card is None and any(_is_in_shards(catalog.table) for catalog in catalogs.values()):
        raise InputError(f"{folder / FILE_NAME} is missing; run prepare.py again")
    if card is None or card.format == "video":
        return _verified(catalogs, folder, num_workers)
    stored = {}
    for split, catalog in catalogs.items():
        table = with_stored_facts(catalog.table, folder / f"{split}.csv", card.format)
        stored[split] = replace(catalog, table=table, format=card.format)
    root = next(iter(catalogs.values())).root
    require_stored_files(root, {split: catalog.table for split, catalog in catalogs.items()}, card.format)
    return stored, {split: {} for split in stored}


def _is_in_shards(table: pd.DataFrame) -> bool:
    return "stored" in table and "#" in table["stored"].iloc[0]


def _verified(
    catalogs: Mapping[str, Catalog], folder: Path, num_workers: int
) -> tuple[dict[str, Catalog], dict[str, dict[int, str]]]:
    """The catalogs with what decoding finds, and by split the bad videos' rows and why they are bad."""
    places = {split: catalog.stored.tolist() for split, catalog in catalogs.items()}
    root = next(iter(catalogs.values())).root
    found = verified_videos(root, [place for split in places.values() for place in split], folder, num_workers)
    facts = found.table[list(FACTS)].reset_index(drop=True)
    verified: dict[str, Catalog] = {}
    reasons: dict[str, dict[int, str]] = {}
    first = 0
    for split, catalog in catalogs.items():
        rows = facts.iloc[first : first + len(places[split])].reset_index(drop=True)
        first += len(rows)
        table = catalog.table.reset_index(drop=True)
        others = table.drop(columns=["path", *FACTS], errors="ignore")
        reasons[split] = {
            row: found.reasons[place] for row, place in enumerate(places[split]) if place in found.reasons
        }
        verified[split] = replace(
            catalog,
            table=pd.concat([table[["path"]], rows, others], axis=1),
            seek_points={place: found.seek_points[place] for place in places[split] if place in found.seek_points},
        )
    return verified, reasons


def _with_folder_rate(catalog: Catalog, fps: float) -> Catalog:
    """The catalog with `fps` frames per second for videos that are folders of pictures."""
    rates = catalog.table["fps"].to_numpy(np.float64, copy=True)
    unknown = np.flatnonzero(rates == 0)
    rates[[row for row in unknown if (catalog.root / catalog.stored[row]).is_dir()]] = fps
    return replace(catalog, table=catalog.table.assign(fps=rates))


def _with_val(
    catalogs: Mapping[str, Catalog], reasons: Mapping[str, dict[int, str]], drawn: DrawnVal
) -> tuple[dict[str, Catalog], dict[str, dict[int, str]]]:
    """The catalogs, and why rows of theirs are bad, with `val` made of some of the rows of `train`."""
    whole = catalogs["train"]
    split_up: dict[str, Catalog] = {}
    bad: dict[str, dict[int, str]] = {}
    for split, keep_N in {"train": ~drawn.chosen_N, "val": drawn.chosen_N}.items():
        words = drawn.words if split == "val" else ""
        split_up[split] = replace(whole.with_rows(keep_N), split=split, listed=int(keep_N.sum()), drawn=words)
        row_N = np.cumsum(keep_N) - 1
        bad[split] = {int(row_N[row]): reason for row, reason in reasons["train"].items() if keep_N[row]}
    for column in split_up["val"].classified:
        tell_untrained({"val": split_up["val"].untrained(column, split_up["train"])})
    others = {split: catalog for split, catalog in catalogs.items() if split not in split_up}
    return {**split_up, **others}, {**bad, **{split: reasons[split] for split in others}}


def _without_bad(catalog: Catalog, reasons: Mapping[int, str]) -> Catalog:
    """The catalog without the rows that are bad."""
    if not reasons:
        return catalog
    if len(reasons) == len(catalog.table):
        raise InputError(f"no video of the split {catalog.split} can be read; the first reason: {reasons[0]}")
    keep = np.ones(len(catalog.table), np.bool_)
    keep[list(reasons)] = False
    return catalog.with_rows(keep)
