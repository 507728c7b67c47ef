"""Small videos whose frames carry their number, and configs that read them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from config.load import load_config
from config.schema import Config

REAL_FILES = Path(__file__).resolve().parents[3] / "shared" / "data"
BITS = 12


def numbered_frame(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """Columns of black and white, the frame's number in binary, under a moving texture that shows decoding errors."""
    bits = (number >> np.arange(BITS)) & 1
    column = np.minimum(np.arange(width) * BITS // width, BITS - 1)
    texture = np.roll(np.random.default_rng(0).integers(0, 40, (height, width)), number, axis=1)
    gray = np.where(bits[column][None] == 1, 200 + texture, 10 + texture)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number that a decoded frame [H, W, 3] shows."""
    centres = (np.arange(BITS) + 0.5) * picture.shape[1] / BITS
    bits = picture[..., 0].mean(axis=0)[centres.astype(int)] > 128
    return int((bits << np.arange(BITS)).sum())


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Undoes what SVT-AV1 does to the thread that encodes with it: where it may, it gives it real-time priority.

    Left so, the tests that follow, and all that they start, take the cores from every other program of the machine.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_video(
    path: Path,
    frames: int = 16,
    size: tuple[int, int] = (32, 48),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 25,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    first_number: int = 0,
    rotation: int = 0,
) -> Path:
    """Writes a video of numbered frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ordinary_scheduling(), av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(first_number, first_number + frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number, *size))))
        container.mux(stream.encode())
    return path


def write_csv(file: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = ("path", "label")) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([header, *rows])
    return file


@pytest.fixture(name="write_video", scope="session")
def write_video_fixture() -> Callable[..., Path]:
    return write_video


@pytest.fixture(name="numbered_frame", scope="session")
def numbered_frame_fixture() -> Callable[..., NDArray[np.uint8]]:
    return numbered_frame


@pytest.fixture(name="number_of", scope="session")
def number_of_fixture() -> Callable[[NDArray[np.uint8]], int]:
    return number_of


@pytest.fixture(name="write_csv", scope="session")
def write_csv_fixture() -> Callable[..., Path]:
    return write_csv


@pytest.fixture(scope="session")
def real_files() -> Path:
    """The folder of real videos; skips where it is absent."""
    if not REAL_FILES.is_dir():
        pytest.skip("needs ../shared/data")
    return REAL_FILES


@pytest.fixture
def make_config() -> Callable[..., Config]:
    """A config for a catalog in `root`, with overrides given as `key=value` or as keyword arguments."""

    def make(root: Path, *overrides: str, **values: Any) -> Config:
        dataset = f'{{name: catalog, root: "{root}"}}'
        fixed = [
            "num_workers=0",
            "mean=[0.3,0.3,0.3]",
            "std=[0.15,0.15,0.15]",
            "augmentation.flip=0.0",
            "video_decoder=pyav",
            "frame_size=[16,24]",
            "patch_size=8",
            "batch_size=4",
            "max_bad_videos=0.5",
        ]
        window = "window={length: 4, frequency: 2, step: null, max_seq_per_video: 2, eval_windows: 2}"
        config = load_config("quickstart.yaml", [f"dataset={dataset}", *fixed, window, *overrides]).config
        return config.model_copy(update=values)

    return make


@pytest.fixture
def small_dataset(tmp_path: Path) -> Path:
    """Videos of 12 to 20 frames with two classes, and their catalogs: 6 in train, 2 in val, 2 in test."""
    root = tmp_path / "data"
    for split, count in {"train": 6, "val": 2, "test": 2}.items():
        rows = []
        for index in range(count):
            name = f"{split}/{index}.mp4"
            write_video(root / name, frames=12 + 2 * index, first_number=100 * index)
            rows.append((name, "odd" if index % 2 else "even"))
        write_csv(root / f"{split}.csv", rows)
    return root
