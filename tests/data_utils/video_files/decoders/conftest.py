"""Files that are odd in one way each, and readers in a process of their own: a decoder may end the process it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.formats.numbers_by_path import NumbersByPath
from data_utils.formats.video import VideoReader
from data_utils.video_files.decoders.choice import decoder_for
from data_utils.video_files.inspection import VideoFacts, inspect_video

SIZE = (48, 64)
FRAMES = 30
QUICK_VP9 = {"cpu-used": "8", "deadline": "realtime"}
# codec, pixel format, options, and what else `write_video` takes
SIMPLE: dict[str, tuple[str, str, dict[str, str], dict[str, object]]] = {
    "b_frames.mp4": ("libx264", "yuv420p", {"x264-params": "bframes=3:keyint=7"}, {}),
    "open_gop.mkv": ("libx264", "yuv420p", {"x264-params": "bframes=3:keyint=10:open-gop=1:scenecut=0"}, {}),
    "refresh.mp4": ("libx264", "yuv420p", {"x264-params": "bframes=0:keyint=10:intra-refresh=1"}, {}),
    "10bit.mkv": ("libx264", "yuv420p10le", {}, {}),
    "444.mov": ("libx264", "yuv444p", {}, {}),
    "odd.mp4": ("libx264", "yuv444p", {}, {"size": (49, 65)}),
    "odd.mkv": ("ffv1", "yuv420p", {}, {"size": (49, 65)}),
    "odd_raw.avi": ("rawvideo", "bgr24", {}, {"size": (49, 65)}),
    "tiny.mp4": ("libx264", "yuv444p", {}, {"size": (24, 12)}),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=none:keyint=10"}, {}),
    "hevc_10bit.mkv": ("libx265", "yuv420p10le", {"x265-params": "log-level=none"}, {}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {"bf": "2"}, {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2"}, {}),
    "h264.avi": ("libx264", "yuv420p", {"x264-params": "bframes=2"}, {}),
    "h264.ts": ("libx264", "yuv420p", {"x264-params": "bframes=2"}, {}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {"bf": "2"}, {}),
    "hidden.webm": ("libvpx", "yuv420p", {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}, {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}, {}),
    "alpha.webm": ("libvpx-vp9", "yuva420p", QUICK_VP9, {}),
    "av1.mp4": ("libsvtav1", "yuv420p", {"preset": "12", "svtav1-params": "lp=1"}, {"size": (64, 64)}),
    "av1.webm": ("libsvtav1", "yuv420p", {"preset": "12", "svtav1-params": "lp=1"}, {"size": (64, 64)}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}, {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}, {}),
    "ffv1.avi": ("ffv1", "yuv420p", {}, {}),
    "raw.avi": ("rawvideo", "yuv420p", {}, {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}, {}),
    "animation.gif": ("gif", "gray", {}, {}),
    "fragments.mp4": (
        "libx264",
        "yuv420p",
        {"x264-params": "keyint=7"},
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    ),
    "no_count.mkv": ("libx264", "yuv420p", {}, {"container_options": {"live": "1"}}),
    "rotated_90.mp4": ("libx264", "yuv420p", {}, {"rotation": 90}),
    "rotated_180.mp4": ("libx264", "yuv420p", {}, {"rotation": 180}),
    "rotated_270.mov": ("libx264", "yuv420p", {}, {"rotation": -90}),
}
Picture = NDArray[np.uint8]


def variable_rate(path: Path, frame: Callable[..., Picture]) -> None:
    times = np.random.default_rng(1).integers(10, 300, FRAMES).cumsum()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "bframes=2:keyint=8"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times.tolist()):
            picture = av.VideoFrame.from_ndarray(frame(number, *SIZE))
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def several_streams(path: Path, frame: Callable[..., Picture]) -> None:
    """The best stream, as it says itself, is the second one; the others show other numbers."""
    with av.open(str(path), "w") as container:
        streams = []
        for size in ((32, 32), SIZE, (24, 40)):
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            streams.append((stream, size))
        streams[1][0].disposition = Disposition.default
        for number in range(FRAMES):
            for place, (stream, size) in enumerate(streams):
                picture = av.VideoFrame.from_ndarray(frame(number + (0 if place == 1 else 1000 + place), *size))
                container.mux(stream.encode(picture))
        for stream, _ in streams:
            container.mux(stream.encode())


def edit_list(path: Path, source: Path) -> None:
    """The first 10 frames of `source` are in the file, but not to be shown."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as container:
        stream = whole.streams.video[0]
        copy = container.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            if packet.dts is None or packet.pts is None or stream.time_base is None:
                continue
            shift = int(10 / 25 / stream.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
            container.mux(packet)


SPECIAL = ["variable_rate.mp4", "variable_rate.mkv", "several_streams.mp4", "several_streams.mkv", "edit_list.mp4"]


@pytest.fixture(scope="session")
def odd_file(
    tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path], numbered_frame: Callable[..., Picture]
) -> Callable[[str], Path]:
    """Gives the file of a name in SIMPLE or SPECIAL: 30 frames that show 0 to 29 (edit_list: 10 to 39)."""
    folder = tmp_path_factory.mktemp("odd_files")

    def make(name: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        if name in SIMPLE:
            codec, pixels, options, more = SIMPLE[name]
            return write_video(path, FRAMES, codec=codec, pixels=pixels, options=options, **{"size": SIZE, **more})
        if name.startswith("edit_list"):
            options = {"x264-params": "bframes=2:keyint=20"}
            edit_list(path, write_video(folder / "whole.mp4", FRAMES + 10, SIZE, options=options))
        else:
            (variable_rate if name.startswith("variable") else several_streams)(path, numbered_frame)
        return path

    return make


@pytest.fixture(scope="session")
def facts_of() -> Callable[[Path], VideoFacts]:
    """What verification finds of a file, looked up once."""
    known: dict[Path, VideoFacts] = {}

    def facts(path: Path) -> VideoFacts:
        if path not in known:
            known[path] = inspect_video(path)
        return known[path]

    return facts


@pytest.fixture(scope="session")
def reader() -> Callable[..., VideoReader]:
    """A reader with the decoder of a name, held to a file's number of frames; skips where torchcodec does not load."""

    def make(decoder: str, path: Path, frames: int | None = None) -> VideoReader:
        counts = None if frames is None else NumbersByPath(str(path.parent), np.array([path.name], object), [frames])
        try:
            return VideoReader(None, decoder_for(decoder), counts)
        except InputError as error:
            if decoder == "torchcodec":
                pytest.skip(str(error))
            raise

    return make


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Callable[..., Picture]]:
    """Calls a reader's `read` in another process, and a new one after a decoder has ended it."""
    context = get_context("spawn")
    pool = ProcessPoolExecutor(1, context)

    def read(reader: VideoReader, path: Path, indices: NDArray[np.int64], size: tuple[int, int]) -> Picture:
        nonlocal pool
        try:
            return pool.submit(reader.read, path, indices, size).result()
        except BrokenProcessPool:
            pool = ProcessPoolExecutor(1, context)
            raise AssertionError(f"the process died of {path}") from None

    yield read
    pool.shutdown(cancel_futures=True)
