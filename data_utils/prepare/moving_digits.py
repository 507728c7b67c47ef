"""The embedded data: handwritten digits that move over textured, drifting backgrounds, as H.264 files.

Every video carries a label for every level of the hierarchy: `digit` is what a frame shows, `motion` what each
half shows (two values), `program`, the ordered pair of the two different motions, what the whole shows. Start,
speed, size, contrast, texture, drift and noise carry no label. The digits are scikit-learn's `load_digits` (1,797
real scans of 8 x 8 pixels, from the UCI Optical Recognition of Handwritten Digits set); train, val and test
share none. In the spirit of Moving MNIST (Srivastava et al., 2015, arXiv 1502.04681).

There are two difficulties. In the easy videos differences of frames tell the motion; in the hard ones neither they nor
pixels do: another digit, the background and the light change as much as the labelled digit does.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pandas as pd
from av.packet import Packet
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from tqdm import tqdm

from config.data import Difficulty, MovingDigits
from config.errors import InputError
from config.files import CONFIG_FOLDER, read_file
from data_utils.catalog.catalog_file import read_csv
from data_utils.prepare.early_end import expect_early_end
from data_utils.prepare.listing import Listing
from data_utils.prepare.moving_digits_captions import CAPTIONS_FILE, caption, captions_csv
from data_utils.prepare.moving_digits_easy import STEPS, render
from data_utils.prepare.moving_digits_hard import render_hard
from data_utils.prepare.whole_folder import is_empty, remove_unfinished, whole_folder
from runs.process.atomic import replaced_file

# Of the videos that a seed gives; a change makes old folders stale.
VERSIONS: dict[Difficulty, int] = {"easy": 1, "hard": 1}
SPLITS = {"train": 0.6, "val": 0.15, "test": 0.25}  # share of the digit scans
RATE = 8
_IDLE_SECONDS = 5
PROGRAMS = list(itertools.permutations(STEPS, 2))
SPEC_FILE = "dataset.json"
_EASY = {"difficulty": "easy"}  # what a SPEC_FILE that says nothing of it means
# What SPEC_FILE says beside what the videos are a function of; folders of earlier versions do not say it.
_CARD = {
    "format": "video",
    "size": None,
    "mean": [0.3, 0.3, 0.3],
    "std": [0.15, 0.15, 0.15],
    "flip": 0.0,
    "labels": {"space": "digit", "time": "motion", "clip": "program"},
}
_PARTS = (*SPLITS, *(f"{split}.csv" for split in SPLITS), CAPTIONS_FILE, SPEC_FILE)


def prepare(root: Path, videos: Mapping[str, int], seed: int, difficulty: Difficulty = "easy") -> None:
    """Makes the dataset in `root`, or finds that it is there already.

    Args:
        root: folder to make; holds `<split>.csv`, `<split>/*.mp4`, `caption.csv` and `dataset.json` afterwards.
        videos: videos per split.
        seed: the files are a pure function of it, of `videos` and of `difficulty`.
        difficulty: of all videos.

    Raises:
        InputError: `root` holds something else, or cannot be written.
    """
    spec = {"name": "moving_digits", "version": VERSIONS[difficulty], "seed": seed, "videos": dict(videos)}
    if difficulty != "easy":
        spec["difficulty"] = difficulty
    remove_unfinished(root, _PARTS)
    if _is_there(root, spec):
        return
    try:
        with whole_folder(root, _PARTS) as unfinished:
            _make(unfinished, videos, seed, difficulty)
            (unfinished / SPEC_FILE).write_text(json.dumps(spec | _CARD, indent=2) + "\n")
    except OSError as error:
        if _is_there(root, spec):  # another process was faster
            return
        raise InputError(f"moving_digits cannot be written to {root}: {error.strerror}; set dataset.root") from error


def add_captions(root: Path, videos: Mapping[str, int], seed: int, difficulty: Difficulty) -> None:
    """Gives a folder that an earlier version made its captions; one that cannot be written does without.

    Args:
        root: holds what `prepare` makes of the other arguments.
        videos: videos per split.
        seed: of the videos.
        difficulty: of all videos.
    """
    file = root / CAPTIONS_FILE
    if file.exists():
        return
    with suppress(OSError), replaced_file(file) as written:
        written.write(_captions(videos, seed, difficulty))


def _captions(videos: Mapping[str, int], seed: int, difficulty: Difficulty) -> bytes:
    """The captions of all videos, as a file of annotations."""
    names = [(split, index) for split in SPLITS for index in range(videos[split])]
    return captions_csv((_name(*name), caption_of(seed, difficulty, *name)) for name in names)


def _make(folder: Path, videos: Mapping[str, int], seed: int, difficulty: Difficulty) -> None:
    """Writes all videos and the catalogs."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
    jobs = [(split, index) for split in SPLITS for index in range(videos[split])]
    rows: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
    write = partial(_write_video, folder, seed, difficulty)
    expect_early_end()
    # Processes of their own end by themselves soon after a program that was killed.
    parallel = Parallel(n_jobs=-1, return_as="generator", idle_worker_timeout=_IDLE_SECONDS)
    written = parallel(delayed(write)(*job) for job in jobs)
    for (split, _), row in zip(jobs, tqdm(written, "making moving_digits", len(jobs), disable=None), strict=True):
        rows[split].append(row)
    get_reusable_executor().shutdown()  # else they stay as long as the program, and longer where it is killed
    for split in SPLITS:
        pd.DataFrame(rows[split]).to_csv(folder / f"{split}.csv", index=False)
    (folder / CAPTIONS_FILE).write_bytes(_captions(videos, seed, difficulty))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py moving_digits`."""
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=int, help=f"videos of the split {split} (data_config.yaml's)")
    parser.add_argument("--seed", type=int, help="of everything that is drawn (data_config.yaml's)")
    parser.add_argument("--difficulty", choices=get_args(Difficulty), help="of the videos (data_config.yaml's)")


def asked_for(options: argparse.Namespace) -> tuple[dict[str, int], int, Difficulty]:
    """Videos per split, seed and difficulty: the options, else the defaults.

    Raises:
        InputError: there is a split without videos, or the seed is below 0.
    """
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
    return videos, seed, options.difficulty or defaults.difficulty


def list_videos(options: argparse.Namespace) -> Listing:
    """The generated videos, made in `options.raw` where they are missing. InputError: see `prepare`."""
    prepare(options.raw, *asked_for(options))
    tables = [read_csv(options.raw / f"{split}.csv").assign(split=split) for split in SPLITS]
    table = pd.concat(tables, ignore_index=True)
    labels = table[["program", "motion", "digit"]]
    return Listing(
        "moving_digits", pd.concat([table[["split", "path"]].assign(label=table["program"]), labels], axis=1), 0.0
    )


def _is_there(root: Path, spec: Mapping[str, object]) -> bool:
    """Whether `root` holds exactly this dataset; InputError where it holds another one."""
    if not root.exists() or (root.is_dir() and is_empty(root)):
        return False
    try:
        found = json.loads((root / SPEC_FILE).read_text())
    except (OSError, ValueError):
        raise InputError(
            f"{root} exists and is not a moving_digits dataset; set dataset.root to another folder"
        ) from None
    if isinstance(found, dict):
        found = {key: value for key, value in found.items() if key not in _CARD}
    if found != spec:
        if isinstance(found, dict):
            found = _EASY | found
        raise InputError(
            f"{root} holds moving_digits made with {found}, but {_EASY | dict(spec)} is asked for; "
            "remove it or set dataset.root to another folder"
        )
    return True


@lru_cache(maxsize=1)
def _scans() -> dict[str, list[NDArray[np.float32]]]:
    """The digit scans of each split by digit: `scans[split][digit]` is [N, 8, 8] in [0, 1]."""
    from sklearn.datasets import load_digits  # its import takes seconds, also where all videos are there

    bunch = load_digits()
    images = (bunch.images / 16.0).astype(np.float32)
    scans: dict[str, list[NDArray[np.float32]]] = {split: [] for split in SPLITS}
    for digit in range(10):
        of_digit = images[bunch.target == digit]
        bounds = np.round(np.cumsum([0.0, *SPLITS.values()]) * len(of_digit)).astype(int)
        for split, (low, high) in zip(SPLITS, itertools.pairwise(bounds), strict=True):
            scans[split].append(of_digit[low:high])
    return scans


def _write_video(folder: Path, seed: int, difficulty: Difficulty, split: str, index: int) -> dict[str, str]:
    """Writes one video and returns its row of the catalog."""
    program, digit, (scan, other_scan), rng = _cast(seed, difficulty, split, index)
    frames = render(scan, program, rng) if other_scan is None else render_hard(scan, other_scan, program, rng)
    name = _name(split, index)
    _encode(frames, folder / name)
    return {"path": name, "program": "-".join(program), "motion": "|".join(program), "digit": str(digit)}


def _name(split: str, index: int) -> str:
    """The file of a video, relative to the dataset."""
    return f"{split}/{index:05d}.mp4"


def _cast(
    seed: int, difficulty: Difficulty, split: str, index: int
) -> tuple[tuple[str, str], int, tuple[NDArray[np.float32], NDArray[np.float32] | None], np.random.Generator]:
    """A video's program, its digit, its scan and that of another digit where one is shown, and what draws the rest."""
    rng = np.random.default_rng([seed, list(SPLITS).index(split), index])
    # Walking through all 120 pairs keeps digits and programs balanced and independent of each other.
    program, digit = PROGRAMS[index % 12], index // 12 % 10
    scan = _any_scan(split, digit, rng)
    if difficulty == "easy":
        return program, digit, (scan, None), rng
    other_digit = (digit + int(rng.integers(1, 10))) % 10
    return program, digit, (scan, _any_scan(split, other_digit, rng)), rng


def caption_of(seed: int, difficulty: Difficulty, split: str, index: int) -> str:
    """What a video shows, in words: "a small 7 moves left, then up"."""
    program, digit, _, rng = _cast(seed, difficulty, split, index)
    return caption(digit, program, difficulty, rng)


def _any_scan(split: str, digit: int, rng: np.random.Generator) -> NDArray[np.float32]:
    scans = _scans()[split][digit]
    scan: NDArray[np.float32] = scans[rng.integers(len(scans))]
    return scan


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
