"""decord: unmaintained, with an FFmpeg of 2018; selectable because published loaders use it.

It seeks to key frames that do not stand alone and then gives other frames, so it decodes from the first frame, one by
one. What it is known to get wrong even then is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from data_utils.video_files.decoders.header import Header, read_header
from data_utils.video_files.decoders.protocol import Known
from data_utils.video_files.decoding import VideoError, fit_picture, too_short

# What no file causes, but another version of the library, say: it must not be taken for a bad video.
_OURS = (TypeError, AttributeError, NameError, ImportError)


class DecordDecoder:
    """Decodes and converts every frame up to the last one that is asked for."""

    def frames(
        self, path: str | Path, numbers: Sequence[int], size: tuple[int, int], known: Known
    ) -> NDArray[np.uint8]:
        """See `Decoder.frames`."""
        import decord

        header = read_header(path)
        _require_readable(header)
        decord.logging.set_level(decord.logging.QUIET)
        try:
            reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            count = len(reader)
        except _OURS:
            raise
        except Exception as error:  # its own type has no base but this
            raise VideoError(_reason(error)) from error
        expected = known.frames if known.frames is not None else header.count_packets()
        if count != expected:
            raise VideoError(f"decord counts {count} frames, PyAV {expected}")
        if numbers[-1] >= count:
            raise too_short(count, numbers[-1])
        return _decode(reader, numbers, size)


def _require_readable(header: Header) -> None:
    """Raises VideoError for files of which decord gives other frames than PyAV."""
    if header.container == "mpegts":
        raise VideoError("decord repeats frames of MPEG-TS files")
    if header.video_streams > 1:
        raise VideoError(f"decord cannot be told which of {header.video_streams} video streams to read")


def _decode(reader: Any, numbers: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    reformatter = VideoReformatter()
    pictures = np.empty((len(numbers), *size, 3), np.uint8)
    done = 0
    for number in range(numbers[-1] + 1):
        try:
            picture = reader.next().asnumpy()
        except _OURS:
            raise
        except Exception as error:
            raise VideoError(f"damaged: frame {number + 1} does not decode") from error
        if number == numbers[done]:
            height, width = picture.shape[:2]
            # Rows of narrow pictures come with their padding, as further channels.
            rows = picture.reshape(height, -1)[:, : 3 * width]
            pictures[done] = fit_picture(rows.reshape(height, width, 3), size, reformatter)
            done += 1
    return pictures


def _reason(error: Exception) -> str:
    """The message without time, source line and path."""
    line = (str(error).splitlines() or [type(error).__name__])[0].rpartition("] ")[2]
    return "decord cannot read it: " + re.sub(r"^\S+:\d+: (.*ERROR )?", "", line)[:200]
