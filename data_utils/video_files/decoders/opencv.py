"""OpenCV: ends silently where it cannot decode, and may abort its process, so it runs in loader processes only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from data_utils.video_files.decoders.header import read_header
from data_utils.video_files.decoders.protocol import Known
from data_utils.video_files.decoding import VideoError, fit_picture, too_short

if TYPE_CHECKING:
    import cv2


class OpenCVDecoder:
    """Decodes every frame up to the last one that is asked for, and converts those that are.

    It cannot seek exactly, and takes the first video stream whatever the others are.
    """

    def frames(
        self, path: str | Path, numbers: Sequence[int], size: tuple[int, int], known: Known
    ) -> NDArray[np.uint8]:
        """See `Decoder.frames`."""
        header = read_header(path)
        if not header.first_is_best:
            raise VideoError("OpenCV reads the first video stream only, and another one is the best")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent: what matters is raised
        import cv2

        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        try:
            if not capture.isOpened():
                raise VideoError("OpenCV cannot open it")
            return _decode(capture, numbers, size)
        except cv2.error as error:
            raise VideoError(f"damaged: {error.err}") from error
        finally:
            capture.release()


def _decode(capture: cv2.VideoCapture, numbers: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    reformatter = VideoReformatter()
    pictures = np.empty((len(numbers), *size, 3), np.uint8)
    done = 0
    for number in range(numbers[-1] + 1):
        if not capture.grab():
            raise too_short(number, numbers[-1]) if number else VideoError("OpenCV decodes no frame")
        if number == numbers[done]:
            there, picture = capture.retrieve()
            if not there:
                raise VideoError(f"damaged: frame {number + 1} does not decode")
            pictures[done] = fit_picture(picture, size, reformatter, "bgr24")  # type: ignore[arg-type]
            done += 1
    return pictures
