"""The catalog: which videos a split has, what a full decode found of them, and what they show."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.data import MovingDigits
from config.errors import InputError
from config.places import place
from config.schema import Config
from data_utils.bad_videos import BadVideos
from data_utils.catalog_file import SPLITS, read_catalog_files
from data_utils.dataset_card import FILE_NAME, Format, catalog_folder, read_card
from data_utils.decoding import SeekPoint
from data_utils.facts_cache import verified_videos
from data_utils.labels import LabelSet, columns_of, label_sets, own_labels
from data_utils.stored_facts import FACTS, require_stored_files, with_stored_facts
from data_utils.windows import NO_FRAME_RATE, repeats_frames, spans, without_rate
from runs.seeds import numpy_generator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalog:
    """The usable videos of one split."""

    split: str
    root: Path
    """Folder that the paths are relative to."""
    table: pd.DataFrame
    """One row per video: path, frames, height, width, fps (facts, not promises), and the other columns of the CSV."""
    labels: dict[str, LabelSet]
    """By column, the last level's first; rows as in `table`."""
    listed: int
    """Videos in the CSV, those that cannot be used included."""
    seek_points: dict[str, tuple[SeekPoint, ...]] = field(default_factory=dict)
    """Of long videos, by what `stored` says."""
    format: Format = "video"
    """How the frames are stored."""

    @property
    def stored(self) -> NDArray[np.object_]:
        """Where the format's reader finds each video, relative to `root`: its path where the CSV says nothing else."""
        return self.table["stored" if "stored" in self.table else "path"].to_numpy(object)

    def sample(self, videos: int, seed: int) -> Catalog:
        """At most `videos` of them, drawn once for a seed, in the catalog's order; those with labels come first."""
        drawn = numpy_generator(seed, len(self.table)).permutation(len(self.table))
        for labels in self.labels.values():
            drawn = np.concatenate([drawn[labels.is_known[drawn]], drawn[~labels.is_known[drawn]]])
        drawn = drawn[:videos]
        keep = np.zeros(len(self.table), np.bool_)
        keep[drawn] = True
        return _rows(self, keep)

    def failures(self, failed: Iterable[tuple[int, str]]) -> list[tuple[str, str, str]]:
        """(split, path, reason) of videos that a loader could not read, from (row, reason)."""
        return [(self.split, self.table["path"].iloc[row], reason) for row, reason in failed]


def open_catalogs(config: Config, bad_videos_csv: Path) -> dict[str, Catalog]:
    """Reads the catalogs of all splits.

    Video files are all decoded once, unless an earlier run knows what that gives. What `prepare.py` has decoded and
    stored is taken at its word: its facts are in the CSV.

    Args:
        config: the merged config.
        bad_videos_csv: list of the videos that cannot be read, written anew; its folder must exist.

    Returns:
        A Catalog for `train`, `val` and `test`, without bad videos, and without short ones where they are skipped.

    Raises:
        InputError: a catalog is missing, empty or wrong, too many videos are bad, or all are too short.
    """
    dataset = config.dataset
    root = place(dataset.root, "dataset.root")
    folder, card = catalog_folder(config), None
    if isinstance(dataset, MovingDigits):
        from data_utils.prepare import moving_digits  # its generator's imports take seconds

        videos = {str(split): count for split, count in dataset.videos.items()}
        moving_digits.prepare(root, videos, dataset.seed, dataset.difficulty)
    else:
        card = read_card(folder)
    columns = columns_of(own_labels(dataset, config.groups))
    tables = read_catalog_files(folder, root, columns)
    files = {split: folder / f"{split}.csv" for split in SPLITS}
    labels = {column: label_sets(column, tables, files) for column in columns}
    catalogs = {
        split: Catalog(split, root, table, {column: labels[column][split] for column in columns}, len(table))
        for split, table in tables.items()
    }
    reasons: dict[str, dict[int, str]] = {split: {} for split in SPLITS}
    if card is None and any("#" in table["stored"].iloc[0] for table in tables.values() if "stored" in table):
        raise InputError(f"{folder / FILE_NAME} is missing; run prepare.py again")
    if card is None or card.format == "video":
        catalogs, reasons = _verified(catalogs, folder, config.num_workers)
    else:
        for split, catalog in catalogs.items():
            table = with_stored_facts(catalog.table, files[split], card.format)
            catalogs[split] = replace(catalog, table=table, format=card.format)
        require_stored_files(root, tables, card.format)
    for split, catalog in catalogs.items():
        for row in np.flatnonzero(without_rate(catalog.table["fps"].to_numpy(np.float64), config.window)):
            reasons[split].setdefault(int(row), NO_FRAME_RATE)
    _list_bad(catalogs, reasons, bad_videos_csv, config.max_bad_videos)
    return {split: _without_short(_without_bad(catalog, reasons[split]), config) for split, catalog in catalogs.items()}


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


def _list_bad(
    catalogs: Mapping[str, Catalog], reasons: Mapping[str, Mapping[int, str]], file: Path, max_share: float
) -> None:
    """Writes the list of bad videos and ends the run where there are too many."""
    try:
        file.unlink(missing_ok=True)  # a video that was mended meanwhile is not bad any more
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
    bad = BadVideos(file, sum(catalog.listed for catalog in catalogs.values()), max_share)
    bad.add(failure for split, catalog in catalogs.items() for failure in catalog.failures(reasons[split].items()))


def _without_bad(catalog: Catalog, reasons: Mapping[int, str]) -> Catalog:
    """The catalog without the rows that are bad."""
    if not reasons:
        return catalog
    if len(reasons) == len(catalog.table):
        raise InputError(f"no video of the split {catalog.split} can be read; the first reason: {reasons[0]}")
    keep = np.ones(len(catalog.table), np.bool_)
    keep[list(reasons)] = False
    return _rows(catalog, keep)


def _without_short(catalog: Catalog, config: Config) -> Catalog:
    """Tells how many videos are shorter than the window, and leaves them out where they are to be skipped."""
    frames, fps = catalog.table["frames"].to_numpy(np.int64), catalog.table["fps"].to_numpy(np.float64)
    repeating = repeats_frames(fps, config.window)
    if repeating.any():
        logger.warning(
            "%s: %d of %d videos have fewer frames per second than window.frequency_fps (%g) and repeat frames",
            catalog.split,
            repeating.sum(),
            len(fps),
            config.window.frequency_fps,
        )
    needed = spans(fps, config.window)
    short = frames < needed
    if not short.any():
        return catalog
    if config.short_videos == "skip" and short.all():
        longest = int(np.argmax(frames / needed))
        by_time = config.window.frequency_fps is not None
        keys = "window.length / frequency_fps" if by_time else "window.length x frequency"
        mend = "raise window.frequency_fps" if by_time else "lower window.frequency"
        raise InputError(
            f"window longer than every video: {keys} needs {needed[longest]} frames, the longest video of the split "
            f"{catalog.split} has {frames[longest]}; lower window.length, {mend}, or set short_videos to loop or pad"
        )
    logger.warning(
        "%s: %d of %d videos are shorter than the window's %s frames (short_videos: %s)",
        catalog.split,
        short.sum(),
        len(frames),
        " to ".join(str(number) for number in sorted({needed[short].min(), needed[short].max()})),
        config.short_videos,
    )
    return _rows(catalog, ~short) if config.short_videos == "skip" else catalog


def _rows(catalog: Catalog, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Catalog:
    """The catalog with some of its rows."""
    labels = {name: replace(labels, values=labels.values[keep]) for name, labels in catalog.labels.items()}
    return replace(catalog, table=catalog.table[keep].reset_index(drop=True), labels=labels)
