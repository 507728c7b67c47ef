"""torchcodec: PyTorch's decoder, which needs FFmpeg's shared libraries on the system.

It knows a frame by its timestamp. Where a container stores none (AVI) or seeks inexactly (MPEG-TS), it gives
neighbours of the frames that were asked for and says nothing, so only containers that are known to be exact are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_utils.video_files.cover import covering, cut_centre
from data_utils.video_files.decoders.protocol import Known
from data_utils.video_files.decoding import VideoError, first_bytes, too_short

# The first bytes of MP4 and MOV (the name of their first box), of Matroska and WebM, and of GIF.
_EXACT = re.compile(rb"....(ftyp|moov|mdat|wide|free|skip|pnot)|\x1a\x45\xdf\xa3|GIF8", re.DOTALL)


class TorchcodecDecoder:
    """Seeks by itself, exactly: opening a file reads the timestamps of all its packets."""

    def frames(
        self, path: str | Path, numbers: Sequence[int], size: tuple[int, int], known: Known
    ) -> NDArray[np.uint8]:
        """See `Decoder.frames`."""
        if not _EXACT.match(first_bytes(path, 8)):
            raise VideoError("torchcodec numbers frames exactly only in MP4, MOV, Matroska, WebM and GIF")
        from torchcodec.decoders import VideoDecoder
        from torchcodec.transforms import Resize

        with _errors_as_reasons(path):
            scaled = covering(*_upright_size(path), size)
            # Resized before they are gathered: the frames of many windows at full size would fill the memory.
            decoder = VideoDecoder(str(path), dimension_order="NHWC", device="cpu", transforms=[Resize(scaled)])
            count = len(decoder)
            if known.frames is not None and count != known.frames:
                raise VideoError(f"torchcodec counts {count} frames, PyAV {known.frames}")
            if numbers[-1] >= count:
                raise too_short(count, numbers[-1])
            batch = decoder.get_frames_at(list(numbers))
        return np.stack([cut_centre(picture, size) for picture in batch.data.numpy()])


def _upright_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the frames, rotation applied."""
    from torchcodec.decoders import VideoDecoder

    try:
        header = VideoDecoder(str(path), device="cpu", seek_mode="approximate").metadata
    except ValueError:  # a header without duration is not enough for the approximate mode
        header = VideoDecoder(str(path), device="cpu").metadata
    if not header.height or not header.width:
        raise VideoError("damaged or not a video: its size is not known")
    return header.height, header.width


@contextmanager
def _errors_as_reasons(path: str | Path) -> Iterator[None]:
    """Turns torchcodec's errors (for a strange header even JSONDecodeError) into a VideoError of one line."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        text = " ".join(str(error).replace(str(path), "").split())
        text = re.sub(r"^\w+, \S+:\d+, ", "", text)  # class and line of its source
        raise VideoError(f"damaged or not a video: {text[:200] or type(error).__name__}") from error
