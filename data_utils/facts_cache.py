"""A second start must not decode the whole dataset again: what verification found is kept beside the catalog."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import av

from config.errors import InputError
from data_utils.inspection import VideoFacts
from data_utils.verify import verify_videos
from runs.atomic import write_text

FILE_NAME = ".verified_videos.json"
_VERSION = 1
# Other reasons (rights, a missing file, a decoder out of memory) can go away while the file stays as it is.
_KEPT_REASONS = "damaged"

logger = logging.getLogger(__name__)


def verified_facts(root: Path, paths: Sequence[str], folder: Path, num_workers: int) -> list[VideoFacts | str]:
    """Facts, or the reason why it is bad, for every video; only new and changed files are decoded.

    Args:
        root: folder that the paths are relative to.
        paths: the videos.
        folder: the catalog's folder, where the results are kept; the user's cache folder where it is read-only.
        num_workers: processes that decode.
    """
    places = (folder / FILE_NAME, _in_user_cache(root))
    known = _load(places[1]) | _load(places[0])
    stamps = [_stamp(root / path) for path in paths]
    results: dict[int, VideoFacts | str] = {
        index: known[path][2] if isinstance(known[path][2], str) else VideoFacts.from_list(known[path][2])
        for index, (path, stamp) in enumerate(zip(paths, stamps, strict=True))
        if path in known and stamp == known[path][:2]
    }
    new = [index for index in range(len(paths)) if index not in results]
    if not new:
        return [results[index] for index in range(len(paths))]
    try:
        for position, result in verify_videos([root / paths[index] for index in new], num_workers):
            results[new[position]] = result
    finally:  # what an interrupted verification found is kept as well
        for index in new:
            result = results.get(index, "")
            if isinstance(result, VideoFacts) or result.startswith(_KEPT_REASONS):
                known[paths[index]] = [*stamps[index], result if isinstance(result, str) else astuple(result)]
        _save(known, places)
    return [results[index] for index in range(len(paths))]


def _in_user_cache(root: Path) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return folder / "hierarchical_video_transformer" / f"verified_videos_{name}.json"


def _stamp(path: Path) -> list[int]:
    """Size and time of change: what tells whether a file is the one that was verified."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _load(place: Path) -> dict[str, list[Any]]:
    """`{path: [size, mtime_ns, facts or reason]}`; empty where there is none, or one of another decoder."""
    try:
        content = json.loads(place.read_bytes())
        if [content["version"], content["decoder"]] == [_VERSION, av.__version__]:
            return dict(content["videos"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("%s cannot be used, so videos are verified again: %s", place, error)
    return {}


def _save(known: dict[str, list[Any]], places: Sequence[Path]) -> None:
    """Writes the first place that can be written."""
    text = json.dumps({"version": _VERSION, "decoder": av.__version__, "videos": known}, separators=(",", ":"))
    for place in places:
        try:
            if place is not places[0]:
                place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, text)
            return
        except (InputError, OSError) as error:
            reason = error
    logger.warning("the next start verifies all videos again: %s", reason)
