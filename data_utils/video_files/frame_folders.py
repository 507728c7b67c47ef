"""A folder of numbered pictures as one video: which of its files are the frames, and in which order.

Extraction tools name frames `img_00001.jpg`, `000001.jpg`, `frame1.jpg` ... `frame10.jpg`, and put optical flow
(`flow_x_00001.jpg`) beside them: sorting names as text would mix up the order, and taking all pictures the kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data_utils.video_files.decoding import VideoError

IMAGE_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Words in the names of pictures: of what is not a picture of a camera, and of what is.
_OTHER_THAN_FRAMES = {"flow", "flowx", "flowy", "x", "y", "u", "v", "depth", "mask", "masks", "disparity", "warp"}
_FLOW = {"flow", "flows", "flowx", "flowy", "opticalflow"}
_FRAMES = {"img", "image", "images", "frame", "frames", "rgb", "color", "colour"}
_NAMED = 3


class Series(NamedTuple):
    """Pictures whose names differ in a number."""

    name: str
    """The names with `#` for each number, such as `img_#.jpg`."""
    files: list[str]
    """In the order of the numbers."""
    numbered: bool
    """False: a single picture without a number."""


def is_image(name: str) -> bool:
    """Whether a file counts as a picture, by its extension."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def series_of(names: Iterable[str]) -> list[Series]:
    """The pictures among the files of a folder, as series; the longest first, then by name.

    Names with the same text around their numbers belong together. Where no single number tells them all apart
    (`cam0_0001.jpg`, `cam1_0001.jpg`), the last one counts frames, and the others tell series apart.
    """
    alike: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    for name in names:
        if is_image(name):
            pattern, numbers = _split(name)
            alike.setdefault(pattern, []).append((numbers, name))
    found = []
    for pattern, members in alike.items():
        members.sort()
        if _one_number_tells_apart([numbers for numbers, _ in members]):
            found.append(Series(pattern, [name for _, name in members], "#" in pattern))
            continue
        apart: dict[tuple[int, ...], list[str]] = {}
        for numbers, name in members:
            apart.setdefault(numbers[:-1], []).append(name)
        found += [Series(_filled(pattern, outer), files, True) for outer, files in apart.items()]
    return sorted(found, key=lambda series: (-len(series.files), series.name))


def frames_among(names: Iterable[str]) -> Series:
    """The series that shows a folder's frames, told apart from optical flow, depth, masks and single pictures.

    Raises:
        VideoError: there is no picture, or several series could be the frames.
    """
    found = series_of(names)
    if not found:
        raise VideoError("a folder without pictures")
    for kept in (
        [series for series in found if series.numbered],
        [series for series in found if not words(series.name) & _OTHER_THAN_FRAMES],
        [series for series in found if words(series.name) & _FRAMES],
        [series for series in found if len(series.files) > 1],
    ):
        found = [series for series in found if series in kept] or found
    if len(found) == 1:
        return found[0]
    if not any(series.numbered for series in found):  # whoever lists this folder wants its pictures as frames
        return Series("pictures without numbers", sorted(series.files[0] for series in found), False)
    told = ", ".join(f"{series.name} ({len(series.files)})" for series in found[:_NAMED])
    raise VideoError(f"several series of pictures could be its frames: {told}; keep one in the folder")


def is_flow(path: str, series: Series) -> bool:
    """Whether a folder of frames holds optical flow and nothing else, by its name or that of its pictures."""
    folder = path.rpartition("/")[2]
    return bool(_FLOW & (words(folder) | words(series.name)))


def words(name: str) -> set[str]:
    """The words of a name, lower case."""
    return set(re.split(r"[^a-z]+", name.lower())) - {""}


def _split(name: str) -> tuple[str, tuple[int, ...]]:
    """A name with `#` for each number, its extension in lower case, and the numbers."""
    stem, _, extension = name.rpartition(".")
    return f"{re.sub(r'[0-9]+', '#', stem)}.{extension.lower()}", tuple(map(int, re.findall("[0-9]+", stem)))


def _one_number_tells_apart(numbers: Sequence[tuple[int, ...]]) -> bool:
    if len(numbers) == 1:
        return True
    return any(len(set(column)) == len(column) for column in zip(*numbers, strict=True))


def _filled(pattern: str, numbers: Sequence[int]) -> str:
    """The pattern with its first numbers put back."""
    for number in numbers:
        pattern = pattern.replace("#", str(number), 1)
    return pattern
