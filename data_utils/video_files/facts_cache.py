"""A second start must not decode the whole dataset again: what verification found is kept beside the catalog.

In columns: a million objects would take seconds to make, and a million lists to read from a file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.video_files.decoding import SeekPoint
from data_utils.video_files.inspection import FACTS, VideoFacts
from data_utils.video_files.verify import verify_videos
from runs.process.atomic import write_text

FILE_NAME = ".verified_videos.json"
_VERSION = 3
# Other reasons (rights, a missing file, a decoder out of memory) can go away while the file stays as it is.
_KEPT_REASONS = "damaged"
# Bytes and the time of change, ns: what tells whether a file is the one that was verified.
_STAMP = ("size", "changed")
_TYPES = {name: np.float64 if name == "fps" else np.int64 for name in (*_STAMP, *FACTS)}

logger = logging.getLogger(__name__)


@dataclass
class VerifiedVideos:
    """The facts from full decodes of videos, by path."""

    table: pd.DataFrame
    """The index holds the paths, the columns FACTS and the files' stamps; zeros for bad videos."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a video is bad."""
    seek_points: dict[str, tuple[SeekPoint, ...]] = field(default_factory=dict)
    """Seek points of long videos."""

    def updated(self, later: VerifiedVideos) -> VerifiedVideos:
        """All videos of both; `later` knows better."""
        if not len(self.table) or not len(later.table):
            return later if len(later.table) else self
        table = pd.concat([self.table, later.table])
        again = set(later.table.index)
        reasons = {path: reason for path, reason in self.reasons.items() if path not in again}
        points = {path: found for path, found in self.seek_points.items() if path not in again}
        return VerifiedVideos(
            table[~table.index.duplicated(keep="last")], reasons | later.reasons, points | later.seek_points
        )


def verified_facts(root: Path, paths: Sequence[str], folder: Path, num_workers: int) -> list[VideoFacts | str]:
    """`verified_videos` one by one: facts, or the reason why it is bad, for every video."""
    found = verified_videos(root, paths, folder, num_workers)
    columns = [found.table[name].tolist() for name in FACTS]
    return [
        found.reasons.get(path) or VideoFacts(frames, height, width, fps, found.seek_points.get(path, ()))
        for path, frames, height, width, fps in zip(paths, *columns, strict=True)
    ]


def verified_videos(root: Path, paths: Sequence[str], folder: Path, num_workers: int) -> VerifiedVideos:
    """The facts of every video; only new and changed files are decoded.

    Args:
        root: folder that the paths are relative to.
        paths: the videos.
        folder: the catalog's folder, where the results are kept; the user's cache folder where it is read-only.
        num_workers: processes that decode.

    Returns:
        One row per path, in their order.
    """
    places = (folder / FILE_NAME, _in_user_cache(root))
    known = _load(places[1]).updated(_load(places[0]))
    stamps = _stamps(root, paths)
    rows = known.table.index.get_indexer(pd.Index(paths, dtype=object))
    fits = rows >= 0
    fits[fits] = (known.table[list(_STAMP)].to_numpy()[rows[fits]] == stamps[fits]).all(axis=1)
    new = np.flatnonzero(~fits).tolist()
    if new:
        results: dict[int, VideoFacts | str] = {}
        try:
            for position, result in verify_videos([root / paths[index] for index in new], num_workers):
                results[new[position]] = result
        finally:  # what an interrupted verification found is kept as well
            kept = {index: result for index, result in results.items() if _is_kept(result)}
            if kept:
                _save(known.updated(_collected(paths, stamps, kept)), places)
        known = known.updated(_collected(paths, stamps, results))
        rows = known.table.index.get_indexer(pd.Index(paths, dtype=object))
    return VerifiedVideos(known.table.take(rows), known.reasons, known.seek_points)


def _is_kept(result: VideoFacts | str) -> bool:
    return isinstance(result, VideoFacts) or result.startswith(_KEPT_REASONS)


def _collected(
    paths: Sequence[str], stamps: NDArray[np.int64], results: Mapping[int, VideoFacts | str]
) -> VerifiedVideos:
    """Results by index of the path, as columns."""
    good = {index: result for index, result in results.items() if isinstance(result, VideoFacts)}
    columns = dict(zip(_STAMP, stamps[list(results)].T, strict=True))
    for name in FACTS:
        columns[name] = np.array([getattr(good[i], name) if i in good else 0 for i in results], _TYPES[name])
    return VerifiedVideos(
        pd.DataFrame(columns, pd.Index([paths[index] for index in results], dtype=object)),
        {paths[index]: result for index, result in results.items() if isinstance(result, str)},
        {paths[index]: facts.seek_points for index, facts in good.items() if facts.seek_points},
    )


def _in_user_cache(root: Path) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return folder / "hierarchical_video_transformer" / f"verified_videos_{name}.json"


def _stamps(root: Path, paths: Sequence[str]) -> NDArray[np.int64]:
    """[N, 2], see _STAMP; zeros where there is no such file."""
    stamps = np.zeros((len(paths), len(_STAMP)), np.int64)
    for index, path in enumerate(paths):
        try:
            status = os.stat(f"{root}/{path}")  # noqa: PTH116, a million Paths would take seconds
        except OSError:
            continue
        stamps[index] = status.st_size, status.st_mtime_ns
    return stamps


def _load(place: Path) -> VerifiedVideos:
    """The facts in a cache file; none if there is no file, or one of another decoder."""
    try:
        content = json.loads(place.read_bytes())
        if [content["version"], content["decoder"]] == [_VERSION, av.__version__]:
            columns = {name: np.array(content[name], dtype) for name, dtype in _TYPES.items()}
            points = {
                path: tuple(SeekPoint(*point) for point in found) for path, found in content["seek_points"].items()
            }
            index = pd.Index(content["paths"], dtype=object)
            return VerifiedVideos(pd.DataFrame(columns, index), dict(content["reasons"]), points)
    except FileNotFoundError:
        pass  # nothing has been verified yet
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning("%s cannot be used, so videos are verified again: %s", place, error)
    return VerifiedVideos(pd.DataFrame({name: np.array([], dtype) for name, dtype in _TYPES.items()}, index=[]))


def _save(known: VerifiedVideos, places: Sequence[Path]) -> None:
    """Writes the first place that can be written."""
    table = known.table
    content = {"version": _VERSION, "decoder": av.__version__, "paths": table.index.tolist()}
    content |= {name: table[name].tolist() for name in _TYPES}
    content |= {"reasons": known.reasons, "seek_points": known.seek_points}
    text = json.dumps(content, separators=(",", ":"))
    for place in places:
        try:
            if place is not places[0]:
                place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, text)
            return
        except (InputError, OSError) as error:
            reason = error
    logger.warning("the next start verifies all videos again: %s", reason)
