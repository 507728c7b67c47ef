"""The catalog: which videos a split has, what a full decode found of them, and what they show."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from config.schema import Config, MovingDigits
from data_utils.bad_videos import BadVideos
from data_utils.catalog_file import SPLITS, read_catalog_files
from data_utils.dataset_card import Format
from data_utils.decoding import SeekPoint
from data_utils.facts_cache import verified_facts
from data_utils.inspection import VideoFacts
from data_utils.labels import LabelSet, columns_of, label_sets, own_labels
from data_utils.windows import span
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
    """By path, for long videos."""
    format: Format = "video"
    """How the frames are stored."""

    @property
    def stored(self) -> NDArray[np.object_]:
        """Where the format's reader finds each video, relative to `root`: its path where the CSV says nothing else."""
        return self.table["stored" if "stored" in self.table else "path"].to_numpy(object)

    def sample(self, videos: int, seed: int) -> Catalog:
        """At most `videos` of them, drawn once for a seed, in the catalog's order."""
        drawn = numpy_generator(seed, len(self.table)).permutation(len(self.table))[:videos]
        keep = np.zeros(len(self.table), np.bool_)
        keep[drawn] = True
        return _rows(self, keep)

    def failures(self, failed: Iterable[tuple[int, str]]) -> list[tuple[str, str, str]]:
        """(split, path, reason) of videos that a loader could not read, from (row, reason)."""
        return [(self.split, self.table["path"].iloc[row], reason) for row, reason in failed]


def open_catalogs(config: Config, bad_videos_csv: Path) -> dict[str, Catalog]:
    """Reads the catalogs of all splits and decodes every video once, or knows from an earlier run what that gives.

    Args:
        config: the merged config.
        bad_videos_csv: list of the videos that cannot be read, written anew; its folder must exist.

    Returns:
        A Catalog for `train`, `val` and `test`, without bad videos, and without short ones where they are skipped.

    Raises:
        InputError: a catalog is missing, empty or wrong, too many videos are bad, or all are too short.
    """
    dataset = config.dataset
    root = Path(dataset.root).expanduser()
    folder = root
    if isinstance(dataset, MovingDigits):
        from data_utils.prepare import moving_digits  # its generator's imports take seconds

        moving_digits.prepare(root, {str(split): count for split, count in dataset.videos.items()}, dataset.seed)
    elif dataset.catalog is not None:
        folder = Path(dataset.catalog).expanduser()
    columns = columns_of(own_labels(dataset, config.groups))
    tables = read_catalog_files(folder, root, columns)
    files = {split: str(folder / f"{split}.csv") for split in SPLITS}
    labels = {column: label_sets(column, tables, files) for column in columns}

    catalogs = {
        split: Catalog(split, root, tables[split], {column: labels[column][split] for column in columns}, listed)
        for split, listed in ((split, len(tables[split])) for split in SPLITS)
    }
    paths = [path for split in SPLITS for path in tables[split]["path"]]
    facts = dict(zip(paths, verified_facts(root, paths, folder, config.num_workers), strict=True))
    _list_bad(catalogs, facts, bad_videos_csv, config.max_bad_videos)
    return {split: _without_short(_with_facts(catalog, facts), config) for split, catalog in catalogs.items()}


def _list_bad(
    catalogs: Mapping[str, Catalog], facts: Mapping[str, VideoFacts | str], file: Path, max_share: float
) -> None:
    """Writes the list of bad videos and ends the run where there are too many."""
    try:
        file.unlink(missing_ok=True)  # a video that was mended meanwhile is not bad any more
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
    bad = BadVideos(file, sum(catalog.listed for catalog in catalogs.values()), max_share)
    results = ((split, path, facts[path]) for split, catalog in catalogs.items() for path in catalog.table["path"])
    bad.add((split, path, result) for split, path, result in results if isinstance(result, str))
    if len(bad):
        logger.warning("%d videos cannot be read and are left out: see %s", len(bad), file)


def _with_facts(catalog: Catalog, facts: Mapping[str, VideoFacts | str]) -> Catalog:
    """The readable videos, with what decoding found."""
    found = [facts[path] for path in catalog.table["path"]]
    readable = np.array([isinstance(result, VideoFacts) for result in found])
    good = [result for result in found if isinstance(result, VideoFacts)]
    if not good:
        raise InputError(f"no video of the split {catalog.split} can be read; the first reason: {found[0]}")
    catalog = _rows(catalog, readable)
    names = ("frames", "height", "width", "fps")
    columns = {name: [getattr(result, name) for result in good] for name in names}
    others = catalog.table.drop(columns=["path", *names], errors="ignore")
    table = pd.concat([catalog.table[["path"]], pd.DataFrame(columns), others], axis=1)
    points = {path: result.seek_points for path, result in zip(table["path"], good, strict=True) if result.seek_points}
    return replace(catalog, table=table, seek_points=points)


def _without_short(catalog: Catalog, config: Config) -> Catalog:
    """Tells how many videos are shorter than the window, and leaves them out where they are to be skipped."""
    needed = span(config.window)
    frames = catalog.table["frames"].to_numpy()
    short = frames < needed
    if not short.any():
        return catalog
    if config.short_videos == "skip" and short.all():
        raise InputError(
            f"window longer than every video: window.length x frequency needs {needed} frames, the longest video of "
            f"the split {catalog.split} has {frames.max()}; lower window.length or window.frequency, or set "
            "short_videos to loop or pad"
        )
    logger.warning(
        "%s: %d of %d videos are shorter than the window's %d frames (short_videos: %s)",
        catalog.split,
        short.sum(),
        len(frames),
        needed,
        config.short_videos,
    )
    return _rows(catalog, ~short) if config.short_videos == "skip" else catalog


def _rows(catalog: Catalog, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Catalog:
    """The catalog with some of its rows."""
    labels = {name: replace(labels, values=labels.values[keep]) for name, labels in catalog.labels.items()}
    return replace(catalog, table=catalog.table[keep].reset_index(drop=True), labels=labels)
