"""A process that converts videos for us and may die doing so: `python -m data_utils.prepare.conversion.converter`.

Requests are objects with `do`: `convert` a file into a part, `finish` the parts of a chunk, `check` a stored video,
`sample` the pixels of a file. An answer holds `reason` where a video is bad, `error` where the disk is at fault,
`memory` where it does not suffice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_utils.formats.part import Rate
from data_utils.prepare.conversion.pictures import FolderPictures, VideoPictures, header_facts, image, sampled
from data_utils.prepare.conversion.pixel_statistics import EVERY, PixelSums
from data_utils.video_files.decoding import VideoError
from data_utils.video_files.frame_folders import is_image
from data_utils.video_files.frame_rate import expected_rate
from data_utils.video_files.helper_process import Voice, answer_requests

_SAMPLE_SIZE = 256


def answer(request: dict[str, Any], voice: Voice) -> dict[str, Any]:
    """Does what `request["do"]` names, with its other entries as arguments."""
    tasks: dict[str, Callable[..., dict[str, Any]]] = {
        "convert": _convert,
        "finish": _finish,
        "check": _check,
        "sample": _sample,
    }
    try:
        return tasks[request.pop("do")](voice, **request)
    except VideoError as error:
        return {"reason": str(error)}
    except OSError as error:  # of writing: reading raises VideoError
        return {"error": error.strerror or str(error)}
    except MemoryError:
        return {"memory": True}


def _convert(
    voice: Voice,
    source: str,
    part: str,
    format: str,
    size: int | None,
    folder_fps: float = 0.0,
    square: bool = False,
) -> dict[str, Any]:
    """Writes the video as a part; nothing is left of it where the video turns out to be bad."""
    sums, frames, shape = PixelSums(), 0, (0, 0)
    fps: Rate = 0.0
    pictures: Iterator[NDArray[np.uint8]]
    with voice.beating():  # on a busy machine this takes longer than any frame
        module = import_module(f"data_utils.formats.{format}")

    def counted(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        nonlocal frames, shape
        for picture in pictures:
            if frames % EVERY == 0:
                sums.add_frame(picture)
            frames, shape = frames + 1, picture.shape[:2]
            yield picture

    try:
        if Path(source).is_dir():
            folder = FolderPictures(source, size, voice.alive, folder_fps, square)
            pictures, fps = folder.frames(), folder.fps
        elif is_image(source):
            pictures = iter([image(source, size, square)])
        else:
            video = VideoPictures(source, size, voice.alive, square)
            pictures, fps = video.frames(), (lambda: video.fps)
            if format == "video":  # its header comes before its frames
                fps = expected_rate(source)
        module.write_part(Path(part), counted(pictures), fps)
    except BaseException:
        remove(Path(part))
        raise
    rate = fps if isinstance(fps, float) else fps()
    facts = {"frames": frames, "height": shape[0], "width": shape[1], "fps": rate}
    return facts | {"bytes": _bytes(Path(part)), "sums": sums.values}


def _finish(voice: Voice, format: str, parts: list[list[str]], out: str, number: int) -> dict[str, Any]:
    with voice.beating():
        pairs = [(path, Path(part)) for path, part in parts]
        return {"stored": import_module(f"data_utils.formats.{format}").finish(pairs, Path(out), number)}


def _check(voice: Voice, format: str, root: str, stored: str) -> dict[str, Any]:
    with voice.beating():
        return {"frames": import_module(f"data_utils.formats.{format}").check(Path(root), stored)}


def _sample(voice: Voice, source: str) -> dict[str, Any]:
    sums = PixelSums()
    for picture in sampled(source, _SAMPLE_SIZE):
        sums.add_frame(picture)
        voice.alive()
    return {"sums": sums.values, "facts": header_facts(source)}


def remove(place: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _bytes(part: Path) -> int:
    files = [part] if part.is_file() else [file for file in part.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    answer_requests(answer)
