"""The videos that benchmarks.data_loading reads: 320 x 240, H.264, as crawlers of large datasets leave them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from joblib import Parallel, delayed
from numpy.typing import NDArray

from data_utils.video_files.decoding import fit, numbered_frames, open_video

SIZE = (240, 320)
RATE = 30
CLASSES = ("a", "b")
REAL_CLIPS = Path(__file__).resolve().parents[3] / "shared/data/real_clips"
# Ordinary colour clips that are at least as large as what is made of them.
SOURCES = (
    "decord/flipping_a_pancake.mkv",
    "mmaction2/S001C001P001R001A001_rgb.avi",
    "mmaction2/demo.mp4",
    "mmaction2/demo_spatiotemporal_det.mp4",
    "mmaction2/test_video_structuralize.mp4",
    "moviepy/example2.mp4",
    "torchcodec/bt709_full_range.mp4",
    "torchcodec/nasa_13013.mp4",
)


def make_videos(folder: Path, videos: int, frames: int) -> str:
    """Writes `class/number.mp4`, with libx264's defaults: crf 23, key frames at cuts and every 250 frames.

    Returns:
        What they show, for the table's head.
    """
    sources = [REAL_CLIPS / source for source in SOURCES if (REAL_CLIPS / source).is_file()]
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    files = [folder / CLASSES[number % len(CLASSES)] / f"{number:03d}.mp4" for number in range(videos)]
    Parallel(n_jobs=2, prefer="threads")(
        delayed(_make)(file, number, frames, sources) for number, file in enumerate(files)
    )
    return f"frames of {len(sources)} real clips" if sources else "synthetic moving textures"


def _make(file: Path, number: int, frames: int, sources: list[Path]) -> None:
    pictures = _real(sources, number) if sources else textures(number, SIZE)
    _encode(file, itertools.islice(pictures, frames))


def _encode(file: Path, pictures: Iterable[NDArray[np.uint8]]) -> None:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"threads": "1"})
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = SIZE
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _real(sources: list[Path], number: int) -> Iterator[NDArray[np.uint8]]:
    """One clip after the other without end, from clip `number` on; every second round mirrored."""
    reformatter = VideoReformatter()
    for position in itertools.count(number):
        mirrored = position // len(sources) % 2
        with open_video(sources[position % len(sources)]) as (container, stream):
            for _, frame in numbered_frames(container, stream):
                picture = fit(frame, SIZE, reformatter)
                yield np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture


def textures(number: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Two layers with the spectrum of natural pictures, 1/f, which pass each other, with a camera's noise."""
    generator = np.random.default_rng(number)
    layers = [_texture(generator, size) for _ in range(2)]
    speeds = generator.integers(-4, 5, (2, 2))
    hole = _texture(generator, size)[..., :1] > 128
    for time in itertools.count():
        back, front = (np.roll(layer, tuple(speed * time), (0, 1)) for layer, speed in zip(layers, speeds, strict=True))
        shown = np.where(np.roll(hole, tuple(speeds[1] * time), (0, 1)), front, back)
        noise = generator.normal(0, 2, shown.shape)
        yield np.clip(shown + noise, 0, 255).astype(np.uint8)


def _texture(generator: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) + 1 / width
    spectrum = np.fft.fft2(generator.normal(size=(3, *size))) / frequency
    waves = np.fft.ifft2(spectrum).real
    scaled = 128 + 55 * (waves - waves.mean()) / waves.std()
    colours: NDArray[np.float64] = np.clip(scaled, 0, 255).transpose(1, 2, 0)
    return colours
