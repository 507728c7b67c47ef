"""Finds the videos in a download: a file by its name or, where that says nothing, its content, or a folder of frames.

Every file is either used, or listed with the reason why it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from data_utils.prepare.disk import VIDEO_EXTENSIONS, Folder, walk
from data_utils.video_files.decoding import TEXT_BYTES, VideoError, first_bytes, is_text
from data_utils.video_files.frame_folders import Series, frames_among, is_flow, is_image, series_of
from data_utils.video_files.inspector import Inspector

NO_VIDEO = "not a video"
UNLABELLED_TEST = "a video of the official test, which has no label"
_PATIENCE = 60.0


class Source(NamedTuple):
    """A video of a download."""

    path: str
    """Relative to the download."""
    is_folder: bool
    """A folder of frames."""


class Unused(NamedTuple):
    """A file of a download that is not a video of the dataset."""

    path: str
    reason: str


def find_sources(raw: Path, leave_out: Path | None) -> tuple[list[Source], list[Unused]]:
    """All videos of a download, in the order of their names, and every other file.

    Args:
        raw: the download.
        leave_out: what `prepare.py` writes, which is not part of it.

    Raises:
        InputError: a folder cannot be read.
    """
    sources: list[Source] = []
    unused: list[Unused] = []
    with _recognition() as is_video:
        for folder in walk(raw, leave_out):
            unused += [Unused(*entry) for entry in folder.skipped]
            videos = [name for name in folder.files if _is_video(raw / folder.path, name, is_video)]
            others = sorted(set(folder.files).difference(videos))
            sources += [Source(f"{folder.path}{name}", False) for name in videos]
            frames = None if videos else _frames(folder, others)
            if frames is not None:
                sources.append(Source(folder.path.rstrip("/"), True))
                others = sorted(set(others).difference(frames.files))
            unused += [Unused(f"{folder.path}{name}", _why_not(name, frames)) for name in others]
    return sorted(sources), sorted(unused)


def others_beside(raw: Path, folder: str) -> list[Unused]:
    """The files of a folder of frames, at any depth below it, that are none of its frames."""
    unused: list[Unused] = []
    for inner in walk(raw / folder):
        unused += [Unused(f"{folder}/{path}", reason) for path, reason in inner.skipped]
        frames = None if inner.path else _frames_or_none(inner.files)
        taken = set(frames.files) if frames else set()
        unused += [
            Unused(f"{folder}/{inner.path}{name}", _why_not(name, frames)) for name in inner.files if name not in taken
        ]
    return unused


class Recognition:
    """Asks a process of its own whether files are videos: what crashes FFmpeg must not end the preparation."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._inspector: Inspector | None = None

    def __call__(self, file: Path) -> bool:
        """Whether FFmpeg opens a file as a video, whatever its name says."""
        try:
            start = first_bytes(file, TEXT_BYTES)
        except VideoError:  # empty, or not to be read
            return False
        if is_text(start):
            return False
        self._inspector = self._inspector or Inspector(_PATIENCE)
        return self._inspector.is_video(file)

    def close(self) -> None:
        """Ends the process."""
        if self._inspector is not None:
            self._inspector.close()


@contextmanager
def _recognition() -> Iterator[Recognition]:
    recognition = Recognition()
    try:
        yield recognition
    finally:
        recognition.close()


def _is_video(folder: Path, name: str, by_content: Recognition) -> bool:
    if name.lower().endswith(VIDEO_EXTENSIONS):
        return True
    return not is_image(name) and by_content(folder / name)


def _frames(folder: Folder, names: Sequence[str]) -> Series | None:
    """The frames of a folder that is a video; None where it is none: its pictures are few, unnumbered or no frames."""
    if not folder.path or not any(series.numbered and len(series.files) > 1 for series in series_of(names)):
        return None
    frames = _frames_or_none(names) or Series("", [name for name in names if is_image(name)], True)
    return None if is_flow(folder.path.rstrip("/"), frames) else frames


def _frames_or_none(names: Sequence[str]) -> Series | None:
    try:
        return frames_among(names)
    except VideoError:  # the conversion says why
        return None


def _why_not(name: str, frames: Series | None) -> str:
    if not is_image(name):
        return NO_VIDEO
    return (
        "a picture that is not a frame of a video" if frames is None else f"a picture beside the frames {frames.name}"
    )
