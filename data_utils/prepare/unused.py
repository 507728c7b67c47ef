"""Lists unused files of a download with the reason: nobody misses a video that is left out silently."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from data_utils.prepare.disk import VIDEO_EXTENSIONS, walk
from data_utils.prepare.listing import Listing
from data_utils.prepare.sources import Unused, others_beside
from data_utils.video_files.frame_folders import is_image


def unused_files(raw: Path, leave_out: Path | None, listing: Listing, lists: Iterable[str]) -> list[Unused]:
    """Every file of a download that is not a video of its listing, in the order of the names.

    Args:
        raw: the download.
        leave_out: what `prepare.py` writes, which is not part of it.
        listing: its videos, and what it says itself of files that are none.
        lists: files of the download that name its videos.

    Raises:
        InputError: the download cannot be read.
    """
    if listing.has_walked:
        return sorted(listing.unused)
    if raw.resolve() == Path(raw.resolve().anchor):  # lists of absolute paths: nobody calls the whole system a download
        return []
    used, reasons = {*listing.table["path"], *lists}, dict(listing.unused)
    unused = []
    for folder in walk(raw, leave_out, into=lambda path: path not in listing.folders, strict=False):
        unused += [Unused(*entry) for entry in folder.skipped]
        paths = (f"{folder.path}{name}" for name in folder.files)
        unused += [Unused(path, reasons.get(path) or _unlisted(path)) for path in paths if path not in used]
    for path in listing.folders:
        unused += others_beside(raw, path)
    return sorted(unused)


def lists_among(options: argparse.Namespace) -> list[str]:
    """The files below `options.raw` that other options name, relative to it."""
    given = [value for value in vars(options).values() if isinstance(value, (str, Path))]
    names = [part for value in given for part in str(value).split(",") if part]
    places = [options.raw / name for name in names] + [Path(name) for name in names]
    root = options.raw.absolute()
    found = [place.absolute() for place in places if place.is_file()]
    return sorted({place.relative_to(root).as_posix() for place in found if place.is_relative_to(root)})


def counted(unused: Iterable[Unused]) -> list[tuple[str, list[str]]]:
    """The paths by reason, the commonest reason first."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in unused:
        by_reason.setdefault(reason, []).append(path)
    return sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))


def _unlisted(path: str) -> str:
    kind = "a picture" if is_image(path) else "a video" if path.lower().endswith(VIDEO_EXTENSIONS) else "a file"
    return f"{kind} that no list names"
