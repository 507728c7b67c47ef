"""Frames to be stored: upright RGB from a video or an image file, scaled to a shorter side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data_utils.video_files.cover import cover, scaled
from data_utils.video_files.decoding import VideoError, fit, numbered_frames, open_video, quarter_turns
from data_utils.video_files.frame_folders import frames_among
from data_utils.video_files.frame_rate import expected_count
from data_utils.video_files.inspection import CheckedVideo

_LARGEST = 65_535  # pixels of a side, in JPEG
_SAMPLED = (1 / 6, 1 / 2, 5 / 6)


def stored_size(height: int, width: int, shorter_side: int | None, square: bool = False) -> tuple[int, int]:
    """Height and width to store; never larger than they are. `square`: of the square in the middle.

    Where frames shrink, the longer side becomes even: video codecs share colour among two by two pixels, and odd sizes
    would cost them the larger format without.
    """
    if square:
        side = min(height, width, shorter_side or height)
        return side, side
    if shorter_side is None or min(height, width) <= shorter_side:
        return height, width
    longer = max(shorter_side, 2 * round(max(height, width) * shorter_side / min(height, width) / 2))
    return (shorter_side, longer) if height <= width else (longer, shorter_side)


class VideoPictures:
    """The frames of a video file, all of one size, with the checks of a full decode."""

    def __init__(
        self, path: str | Path, shorter_side: int | None, alive: Callable[[], None], square: bool = False
    ) -> None:
        """Opens nothing yet; `alive` is called after every packet, `square`: see `stored_size`."""
        self._video = CheckedVideo(path, alive, seek_points=False)
        self._shorter_side, self._square = shorter_side, square

    @property
    def fps(self) -> float:
        """Average frames per second, 0 where the file does not say; known after the last frame."""
        return self._video.facts.fps

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """[H, W, 3] each; later frames of another size are brought to that of the first one. VideoError: it is bad."""
        reformatter = VideoReformatter()
        size: tuple[int, int] | None = None
        for frame in self._video.frames():
            if size is None:
                size = stored_size(*_upright(frame), self._shorter_side, self._square)
                if max(size) > _LARGEST:
                    raise VideoError(f"{size[1]} x {size[0]} pixels are more than can be stored; give a --size")
            yield _rgb(frame, size, reformatter)


class FolderPictures:
    """The pictures of a folder as the frames of one video, all of one size."""

    def __init__(
        self, path: str | Path, shorter_side: int | None, alive: Callable[[], None], fps: float, square: bool = False
    ) -> None:
        """Opens nothing yet; `alive` is called after every picture, `fps` is what the user says (0: nothing)."""
        self._path, self._shorter_side, self._alive = Path(path), shorter_side, alive
        self._square = square
        self.fps = fps

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """[H, W, 3] each; later pictures of another shape cover the first one's. VideoError: one of them is bad."""
        stored: tuple[int, int] | None = None
        shape = (0, 0)
        for name in self._names():
            try:
                picture = image(self._path / name, None)
            except VideoError as error:
                raise VideoError(f"damaged: its frame {name}: {error}") from error
            if stored is None:
                shape = picture.shape[:2]
                stored = stored_size(*shape, self._shorter_side, self._square)
            as_it_is = picture.shape[:2] == shape and not self._square
            yield scaled(picture, stored) if as_it_is else np.ascontiguousarray(cover(picture, stored))
            self._alive()

    def _names(self) -> list[str]:
        try:
            return frames_among(sorted(os.listdir(self._path))).files  # noqa: PTH208  names are all that is needed
        except OSError as error:
            raise VideoError((error.strerror or str(error)).lower()) from error


def image(path: str | Path, shorter_side: int | None, square: bool = False) -> NDArray[np.uint8]:
    """The upright picture [H, W, 3] of an image file; grey, palettes, CMYK and 16 bit become RGB, alpha is dropped.

    Raises:
        VideoError: the file is missing, unreadable, no image, or damaged.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):  # 16 bit grey: Pillow would cut it off at 255
                grey = np.asarray(picture).astype(np.int64) >> 8
                picture = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:  # Pillow's own errors, without an errno, among them
        if error.errno is not None:
            raise VideoError((error.strerror or str(error)).lower()) from error
        text = "damaged or no image" if "cannot identify" in str(error) else f"damaged: {error}"
        raise VideoError(text if Path(path).stat().st_size else "empty file") from error
    except (Image.DecompressionBombError, ValueError, SyntaxError, EOFError) as error:  # what its readers may raise
        raise VideoError(f"damaged or no image: {error}") from error
    size = stored_size(pixels.shape[0], pixels.shape[1], shorter_side, square)
    return np.ascontiguousarray(cover(pixels, size)) if square else scaled(pixels, size)


def sampled(path: str | Path, shorter_side: int) -> Iterator[NDArray[np.uint8]]:
    """A few frames [H, W, 3] from all over a video file: of the key frames near some times, else its first one.

    Raises:
        VideoError: the file cannot be read.
    """
    reformatter = VideoReformatter()
    with open_video(path) as (container, stream):
        duration = (container.duration or 0) / av.time_base
        for share in _SAMPLED if duration else (0.0,):
            if share:
                container.seek(int((share * duration + (container.start_time or 0) / av.time_base) * av.time_base))
            frame = next((frame for _, frame in numbered_frames(container, stream)), None)
            if frame is not None:
                yield _rgb(frame, stored_size(*_upright(frame), shorter_side), reformatter)


def header_facts(path: str | Path) -> tuple[int, int, int, float]:
    """Frames, height, width and rate, from a file's header and first frame; its packets are counted where it must be.

    Raises:
        VideoError: the file cannot be read.
    """
    with open_video(path) as (container, stream):
        frames, rate = stream.frames, float(stream.average_rate or 0)
        first = next((frame for _, frame in numbered_frames(container, stream)), None)
        if first is None:
            raise VideoError("no frame decodes")
        size = _upright(first)
    if not frames:
        frames, rate = expected_count(path)
    return frames, *size, rate


def _upright(frame: VideoFrame) -> tuple[int, int]:
    return (frame.height, frame.width) if quarter_turns(frame) % 2 == 0 else (frame.width, frame.height)


def _rgb(frame: VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    try:
        return np.ascontiguousarray(fit(frame, size, reformatter))
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"its pixel format {frame.format.name} cannot be made RGB: {error}") from error
