"""The embedded data: handwritten digits that move over textured, drifting backgrounds, as H.264 files.

Every video carries a label for every level of the hierarchy: `digit` is what a frame shows, `motion` what each
half shows (two values), `program`, the ordered pair of the two different motions, what the whole shows. Start,
speed, size, contrast, texture, drift and noise carry no label. The digits are scikit-learn's `load_digits` (1,797
real scans of 8 x 8 pixels, from the UCI Optical Recognition of Handwritten Digits set); train, val and test
share none. In the spirit of Moving MNIST (Srivastava et al., 2015, arXiv 1502.04681).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pandas as pd
from av.packet import Packet
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_digits
from tqdm import tqdm

from config.data import MovingDigits
from config.errors import InputError
from config.load import CONFIG_FOLDER, read_file
from data_utils.catalog_file import read_csv
from data_utils.prepare.listing import Listing

VERSION = 1  # of the videos that a seed gives; a change makes old folders stale
SPLITS = {"train": 0.6, "val": 0.15, "test": 0.25}  # share of the digit scans
SIZE, FRAMES, RATE = 36, 16, 8
STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
PROGRAMS = list(itertools.permutations(STEPS, 2))
SPEC_FILE = "dataset.json"


def prepare(root: Path, videos: Mapping[str, int], seed: int) -> None:
    """Makes the dataset in `root`, or finds that it is there already.

    Args:
        root: folder to make; holds `<split>.csv`, `<split>/*.mp4` and `dataset.json` afterwards.
        videos: videos per split.
        seed: the files are a pure function of it and of `videos`.

    Raises:
        InputError: `root` holds something else, or cannot be written.
    """
    spec = {"name": "moving_digits", "version": VERSION, "seed": seed, "videos": dict(videos)}
    if _is_there(root, spec):
        return
    unfinished = root.with_name(f"{root.name}.unfinished-{os.getpid()}")
    try:
        for split in SPLITS:
            (unfinished / split).mkdir(parents=True)
        jobs = [(split, index) for split in SPLITS for index in range(videos[split])]
        rows: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
        written = Parallel(n_jobs=-1, return_as="generator")(delayed(_write_video)(unfinished, seed, *j) for j in jobs)
        for (split, _), row in zip(jobs, tqdm(written, "making moving_digits", len(jobs), disable=None), strict=True):
            rows[split].append(row)
        for split in SPLITS:
            pd.DataFrame(rows[split]).to_csv(unfinished / f"{split}.csv", index=False)
        (unfinished / SPEC_FILE).write_text(json.dumps(spec, indent=2) + "\n")
        unfinished.rename(root)
    except OSError as error:
        if _is_there(root, spec):  # another process was faster
            return
        raise InputError(f"moving_digits cannot be written to {root}: {error.strerror}; set dataset.root") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py moving_digits`."""
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=int, help=f"videos of the split {split} (data_config.yaml's)")
    parser.add_argument("--seed", type=int, help="of everything that is drawn (data_config.yaml's)")


def asked_for(options: argparse.Namespace) -> tuple[dict[str, int], int]:
    """Videos per split, and seed: the options, else the defaults. InputError: there is a split without videos."""
    defaults = MovingDigits.model_validate(read_file(CONFIG_FOLDER / "data_config.yaml")["dataset"])
    videos: dict[str, int] = {}
    for split, default in defaults.videos.items():
        given = getattr(options, split)
        videos[split] = default if given is None else given
    if min(videos.values()) < 1:
        raise InputError("--train, --val and --test need at least one video each")
    seed = defaults.seed if options.seed is None else options.seed
    if seed < 0:
        raise InputError("--seed must not be below 0")
    return videos, seed


def list_videos(options: argparse.Namespace) -> Listing:
    """The generated videos, made in `options.raw` where they are missing. InputError: as of `prepare`."""
    prepare(options.raw, *asked_for(options))
    tables = [read_csv(options.raw / f"{split}.csv").assign(split=split) for split in SPLITS]
    table = pd.concat(tables, ignore_index=True)
    labels = table[["program", "motion", "digit"]]
    return Listing(
        "moving_digits", pd.concat([table[["split", "path"]].assign(label=table["program"]), labels], axis=1), 0.0
    )


def _is_there(root: Path, spec: Mapping[str, object]) -> bool:
    """Whether `root` holds exactly this dataset; InputError where it holds another one."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / SPEC_FILE).read_text())
    except (OSError, ValueError):
        raise InputError(f"{root} exists and is no moving_digits dataset; set dataset.root to another folder") from None
    if found != spec:
        raise InputError(
            f"{root} holds moving_digits made with {found}, but {spec} is asked for; "
            "remove it or set dataset.root to another folder"
        )
    return True


@lru_cache(maxsize=1)
def _scans() -> dict[str, list[NDArray[np.float32]]]:
    """The digit scans of each split by digit: `scans[split][digit]` is [N, 8, 8] in [0, 1]."""
    bunch = load_digits()
    images = (bunch.images / 16.0).astype(np.float32)
    scans: dict[str, list[NDArray[np.float32]]] = {split: [] for split in SPLITS}
    for digit in range(10):
        of_digit = images[bunch.target == digit]
        bounds = np.round(np.cumsum([0.0, *SPLITS.values()]) * len(of_digit)).astype(int)
        for split, (low, high) in zip(SPLITS, itertools.pairwise(bounds), strict=True):
            scans[split].append(of_digit[low:high])
    return scans


def _write_video(folder: Path, seed: int, split: str, index: int) -> dict[str, str]:
    """Writes one video and returns its row of the catalog."""
    rng = np.random.default_rng([seed, list(SPLITS).index(split), index])
    # Walking through all 120 pairs keeps digits and programs balanced and independent of each other.
    program, digit = PROGRAMS[index % 12], index // 12 % 10
    scans = _scans()[split][digit]
    frames = render(scans[rng.integers(len(scans))], program, rng)
    name = f"{split}/{index:05d}.mp4"
    _encode(frames, folder / name)
    return {"path": name, "program": "-".join(program), "motion": "|".join(program), "digit": str(digit)}


def render(scan: NDArray[np.float32], program: tuple[str, str], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws one video.

    Args:
        scan: [8, 8] in [0, 1].
        program: the motion of each half.
        rng: draws everything that carries no label.

    Returns:
        [FRAMES, SIZE, SIZE, 3] uint8.
    """
    side = rng.uniform(11.0, 14.0)
    path = _path(program, SIZE - side, rng)
    contrast = rng.uniform(0.45, 0.65)
    background = _texture(rng)
    drift = rng.uniform(-0.5, 0.5, size=2)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    frames = np.empty((FRAMES, SIZE, SIZE), np.float32)
    for t, (top, left) in enumerate(path):
        cells = [(rows - top) * 8 / side - 0.5, (columns - left) * 8 / side - 0.5]
        alpha = ndimage.map_coordinates(scan, cells, order=1, mode="constant")
        behind = ndimage.shift(background, drift * t, order=1, mode="grid-wrap")
        frames[t] = behind + contrast * alpha
    frames += rng.normal(0.0, rng.uniform(0.0, 0.03), size=frames.shape)
    grey = np.round(frames.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _path(program: tuple[str, str], room: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Top-left corners [FRAMES, 2] that follow the program and stay in [0, room].

    Each half covers at least 9 pixels, so that its motion is longer than what start and size can hide.
    """
    half = FRAMES // 2
    moves = [np.outer(np.linspace(0, 1, half + 1)[1:], STEPS[name]) * rng.uniform(9.0, 10.0) for name in program]
    path = np.concatenate([moves[0], moves[0][-1] + moves[1]])
    low, high = -path.min(axis=0), room - path.max(axis=0)
    path += low + rng.uniform(size=2) * (high - low)
    return path


def _texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth, periodic texture [SIZE, SIZE] on a random grey: strong over the frame, weak inside a patch."""
    noise = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), rng.uniform(8.0, 12.0), mode="wrap")
    noise = (noise - noise.mean()) * (rng.uniform(0.07, 0.14) / noise.std())
    texture: NDArray[np.float32] = (rng.uniform(0.1, 0.45) + noise).astype(np.float32)
    return texture


def _encode(frames: NDArray[np.uint8], path: Path) -> None:
    """Writes `frames` [T, H, W, 3] as H.264, the same bytes every time."""
    # One thread: the bytes must not depend on the machine's cores. No mbtree: with frames this small x264's vector
    # code for it reads memory that nobody wrote, and the same frames give other bytes every time.
    options = {"crf": "18", "preset": "fast", "threads": "1", "mbtree": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for packet in _packets(stream, frames):
            container.mux(packet)


def _packets(stream: av.VideoStream, frames: NDArray[np.uint8]) -> Iterator[Packet[av.VideoStream]]:
    for frame in frames:
        yield from stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24"))
    yield from stream.encode(None)
