"""Which decoder reads the videos: the one that the config names, or the best one that loads here.

A decoder that does not load must be reported before the first epoch, in one line, and not by the first batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.video_files.decoders.decord import DecordDecoder
from data_utils.video_files.decoders.opencv import OpenCVDecoder
from data_utils.video_files.decoders.protocol import Decoder, Known
from data_utils.video_files.decoders.pyav import PyAVDecoder
from data_utils.video_files.decoders.torchcodec import TorchcodecDecoder
from data_utils.video_files.decoding import VideoError

_DISTRIBUTIONS = {
    "torchcodec": "torchcodec",
    "pyav": "av",
    "decord": "decord",
    "opencv": "opencv-python-headless",
}


class AutoDecoder:
    """torchcodec, and PyAV for the files that torchcodec does not read."""

    def __init__(self) -> None:
        self._first, self._second = TorchcodecDecoder(), PyAVDecoder()

    def frames(
        self, path: str | Path, numbers: Sequence[int], size: tuple[int, int], known: Known
    ) -> NDArray[np.uint8]:
        """See `Decoder.frames`."""
        try:
            return self._first.frames(path, numbers, size, known)
        except VideoError:  # if the file is bad, PyAV says why
            return self._second.frames(path, numbers, size, known)


def decoder_for(name: str) -> Decoder:
    """The decoder that `config.video_decoder` names; imports its library, opens nothing.

    Raises:
        InputError: it does not load.
    """
    if name == "auto":
        return PyAVDecoder() if _why_not("torchcodec") else AutoDecoder()
    reason = _why_not(name)
    if reason:
        raise InputError(f"video_decoder={name} does not load: {reason}, or set video_decoder=auto")
    decoders: dict[str, type[Decoder]] = {
        "torchcodec": TorchcodecDecoder,
        "pyav": PyAVDecoder,
        "decord": DecordDecoder,
        "opencv": OpenCVDecoder,
    }
    return decoders[name]()


def describe_decoder(name: str) -> dict[str, str]:
    """Describes what `decoder_for(name)` reads with: the decoder, and versions by name.

    For `auto` with torchcodec, PyAV's versions are there as well, as it reads what torchcodec does not.

    Raises:
        InputError: it does not load.
    """
    decoder = decoder_for(name)
    if isinstance(decoder, AutoDecoder):
        return {"decoder": "torchcodec, else pyav"} | _versions("torchcodec") | _versions("pyav")
    used = "pyav" if name == "auto" else name
    return {"decoder": used} | _versions(used)


def _versions(name: str) -> dict[str, str]:
    found = {name: version(_DISTRIBUTIONS[name])}
    if name == "pyav":
        found["pyav_ffmpeg"] = av.ffmpeg_version_info
    if name == "torchcodec":
        found["torchcodec_ffmpeg"] = str(import_module("torchcodec").ffmpeg_major_version)
    return found


def _why_not(name: str) -> str:
    """Why a decoder does not load and how to fix it, in one line; empty where it loads."""
    try:
        module = import_module({"pyav": "av", "opencv": "cv2"}.get(name, name))
    except (ImportError, OSError, RuntimeError) as error:
        return f"{str(error).splitlines()[0]}; install {_DISTRIBUTIONS[name]}"
    # torchcodec can be imported without the libraries that it decodes with.
    if name == "torchcodec" and module.ffmpeg_major_version is None:
        return "FFmpeg's shared libraries (version 4 to 9) are not found on this system; install ffmpeg"
    if name == "opencv" and not module.videoio_registry.hasBackend(module.CAP_FFMPEG):
        return "this OpenCV was built without FFmpeg; install opencv-python-headless"
    return ""
