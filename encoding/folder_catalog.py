"""A catalog of any videos: a file, or all of a folder, decoded once to know what can be read."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from config.errors import InputError
from config.schema import Config
from data_utils.batches.short_videos import without_short
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.prepare.sources import find_sources
from data_utils.video_files.facts_cache import verified_videos
from data_utils.video_files.inspection import FACTS

SPLIT = "videos"
_NAMED = 3  # files that a message names

logger = logging.getLogger(__name__)


def catalog_of(place: Path, work: Path, listed: Path, config: Config) -> tuple[Catalog, BadVideos]:
    """The videos of a file or a folder, at any depth.

    Args:
        place: the file or the folder.
        work: a folder for what decoding finds.
        listed: the list of videos that cannot be read, a CSV file.
        config: how they are read.

    Returns:
        The videos that can be read, by path relative to `place` (of a file: its name), and the list of the others.

    Raises:
        InputError: there is no video, or none can be read.
    """
    if not place.exists():
        raise InputError(f"{place} does not exist; give a video or a folder of videos")
    root = place if place.is_dir() else place.parent
    paths = _videos_in(place, work) if place.is_dir() else [place.name]
    found = verified_videos(root, paths, work, config.num_workers)
    bad = BadVideos(listed, len(paths), max_share=1.0, dataset=str(place))
    failed = {path: found.reasons[path] for path in paths if path in found.reasons}
    bad.add((SPLIT, path, reason) for path, reason in failed.items())
    if len(failed) == len(paths):
        raise InputError(f"no video of {place} can be read; the first reason: {next(iter(failed.values()))}")
    keep_N = np.array([path not in failed for path in paths], np.bool_)
    table = found.table[list(FACTS)].reset_index(drop=True)[keep_N].reset_index(drop=True)
    table.insert(0, "path", pd.Series([path for path in paths if path not in failed], dtype=object))
    points = {path: found.seek_points[path] for path in table["path"] if path in found.seek_points}
    catalog = Catalog(SPLIT, root, table, {}, len(paths), seek_points=points)
    return without_short(catalog, config), bad


def _videos_in(folder: Path, work: Path) -> list[str]:
    """The video files of a folder; says what else it has."""
    sources, unused = find_sources(folder, work)
    videos = [source.path for source in sources if not source.is_folder]
    of_frames = [source.path for source in sources if source.is_folder]
    if of_frames:
        logger.warning(
            "%d folders of frames are left out (%s): prepare.py makes a dataset of them, which eval.py reads",
            *(len(of_frames), _some(of_frames)),
        )
    if unused:
        logger.info("%d other files are left out (%s)", len(unused), _some([f"{u.path}: {u.reason}" for u in unused]))
    if not videos:
        raise InputError(f"{folder} has no video")
    return videos


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
