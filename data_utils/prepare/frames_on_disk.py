"""Which of the listed videos the disk holds, as files or as folders of frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.prepare.disk import VIDEO_EXTENSIONS, missing
from data_utils.video_files.decoding import VideoError
from data_utils.video_files.frame_folders import IMAGE_EXTENSIONS, frames_among

MISSING = "missing"


class OnDisk(NamedTuple):
    """The state of listed paths on the disk."""

    reasons: list[str | None]
    """Why a path is absent; None where it is there."""
    folders: frozenset[str]
    """The paths that are folders of frames."""

    @property
    def is_there(self) -> NDArray[np.bool_]:
        """[N] whether each path is there."""
        return np.array([reason is None for reason in self.reasons], np.bool_)


def on_disk(raw: Path, paths: Sequence[str], listed_frames: Sequence[int] | None = None) -> OnDisk:
    """Looks for listed videos; decodes nothing.

    Args:
        raw: folder that the paths are relative to.
        paths: the videos.
        listed_frames: how many frames a list says that each has; 0 or less: nothing. A folder that holds fewer is
            absent; files are counted when they are decoded.

    Raises:
        InputError: a folder cannot be read.
    """
    gone = missing(raw, paths)
    reasons: list[str | None] = [MISSING if is_gone else None for is_gone in gone]
    folders = set()
    for number, path in enumerate(paths):
        named_as_file = path.lower().endswith((*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS))  # asking for each takes long
        if reasons[number] is None and not named_as_file and (raw / path).is_dir():
            folders.add(path)
            reasons[number] = _why_no_frames(raw / path, listed_frames[number] if listed_frames else 0)
    return OnDisk(reasons, frozenset(folders))


def _why_no_frames(folder: Path, listed: int) -> str | None:
    try:
        frames = len(frames_among(os.listdir(folder)).files)  # noqa: PTH208  names are all that is needed
    except VideoError as error:
        return str(error)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; fix its permissions or the disk") from error
    return f"{frames} of {listed} listed frames are there" if frames < listed else None
