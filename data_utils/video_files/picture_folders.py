"""Folders of numbered pictures, read as they are: every picture is a frame."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data_utils.video_files.cover import cover
from data_utils.video_files.decoding import VideoError, too_short
from data_utils.video_files.frame_folders import frames_among


def folder_facts(folder: str | Path, alive: Callable[[], None] = lambda: None) -> tuple[int, int, int]:
    """Number of frames, and height and width of the first one; every picture is decoded.

    Args:
        folder: holds the pictures.
        alive: called after every picture.

    Raises:
        VideoError: there are no frames, or one of them is damaged.
    """
    names = _names(folder)
    size = (0, 0)
    for name in names:
        height, width = _picture(folder, name).shape[:2]
        size = size if size != (0, 0) else (height, width)
        alive()
    return len(names), *size


def folder_frames(folder: str | Path, numbers: list[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Some frames of a folder, scaled to cover `size` and cut to its centre.

    Args:
        folder: holds the pictures.
        numbers: [T], positions in the order of the pictures' numbers.
        size: height and width of the result.

    Returns:
        [T, H, W, 3].

    Raises:
        VideoError: a picture is missing or damaged.
    """
    names = _names(folder)
    if numbers[-1] >= len(names):
        raise too_short(len(names), numbers[-1])
    frames = np.empty((len(numbers), *size, 3), np.uint8)
    for frame_HWC, number in zip(frames, numbers, strict=True):
        frame_HWC[:] = cover(_picture(folder, names[number]), size)
    return frames


def picture(path: str | Path) -> NDArray[np.uint8]:
    """The upright picture [H, W, 3] of an image file; grey, palettes, CMYK and 16 bit become RGB, alpha is dropped.

    Raises:
        VideoError: the file is missing, unreadable, no image, or damaged.
    """
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):  # 16 bit grey: Pillow would cut it off at 255
                grey = np.asarray(upright).astype(np.int64) >> 8
                upright = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))
    except OSError as error:  # Pillow's own errors, without an errno, among them
        if error.errno is not None:
            raise VideoError((error.strerror or str(error)).lower()) from error
        text = "damaged or no image" if "cannot identify" in str(error) else f"damaged: {error}"
        raise VideoError(text if Path(path).stat().st_size else "empty file") from error
    except (Image.DecompressionBombError, ValueError, SyntaxError, EOFError) as error:  # what its readers may raise
        raise VideoError(f"damaged or no image: {error}") from error


def _picture(folder: str | Path, name: str) -> NDArray[np.uint8]:
    try:
        return picture(Path(folder) / name)
    except VideoError as error:
        raise VideoError(f"damaged: its frame {name}: {error}") from error


def _names(folder: str | Path) -> list[str]:
    try:
        return frames_among(sorted(os.listdir(folder))).files  # noqa: PTH208  names are all that is needed
    except OSError as error:
        raise VideoError((error.strerror or str(error)).lower()) from error
