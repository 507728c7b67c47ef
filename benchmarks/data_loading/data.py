"""The data that benchmarks.data_loading compares readers on: one set of videos, stored in every way."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

import prepare
from benchmarks.data_loading.baselines import write_frames
from benchmarks.data_loading.videos import SIZE, make_videos
from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.dataset_card import completed

SIDE, SMALL = 224, 60
FULL, REDUCED = (224, 224), (60, 80)
WIDTHS = {side: 2 * round(SIZE[1] * side / SIZE[0] / 2) for side in (SIZE[0], SIDE)}
# Every format that is stored at a size of its own; None: the files as they are.
STORED: tuple[tuple[str, int | None], ...] = (
    ("packed", SIDE),
    ("packed", SMALL),
    ("frames", SIDE),
    ("hdf5", SIDE),
    ("video", SIDE),
    ("video", None),
)


@dataclass(frozen=True)
class Loading:
    """How every contender loads."""

    num_workers: int
    batch_size: int
    length: int = 20
    frequency: int = 5
    windows_per_video: int = 64
    """In an epoch: enough for a turn of the fastest contender."""


@dataclass(frozen=True)
class Place:
    """A prepared dataset."""

    root: Path
    catalog: Path

    def config(self, size: tuple[int, int], loading: Loading, decoder: str = "auto") -> Config:
        """Reads it at `size`, many windows of every video in an epoch."""
        window = f"{{length: {loading.length}, frequency: {loading.frequency}, step: 1}}"
        overrides = [
            f"dataset={{name: catalog, root: '{self.root}', catalog: '{self.catalog}'}}",
            f"frame_size={list(size)}",
            "hierarchy.patch_size=4",
            f"hierarchy.frames_per_clip={loading.length}",
            "groups=[space, time]",
            f"window={window}",
            f"window.max_seq_per_video={loading.windows_per_video}",
            f"batch_size={loading.batch_size}",
            f"num_workers={loading.num_workers}",
            f"video_decoder={decoder}",
        ]
        return completed(load_config("quickstart.yaml", overrides).config)

    def open(self, config: Config) -> Catalog:
        """Its training split."""
        return open_catalogs(config, config.groups, self.catalog / "bad_videos.csv")["train"]


@dataclass(frozen=True)
class Data:
    """One set of videos, stored in every way."""

    content: str
    """Content of the videos."""
    num_frames: int
    """Frames of every video."""
    videos: Sequence[Path]
    frame_folders: dict[int, list[Path]]
    """By the shorter side of their frames, for the baselines."""
    prepared: dict[tuple[str, int | None], Place]
    """By format and shorter side."""


def make_data(folder: Path, videos: int, num_frames: int) -> Data:
    """Makes everything in `folder`, which is empty."""
    raw = folder / "raw"
    content = make_videos(raw, videos, num_frames)
    files = sorted(raw.rglob("*.mp4"))
    frame_folders = {side: [folder / f"jpeg_{side}" / file.stem for file in files] for side in WIDTHS}
    Parallel(n_jobs=2, prefer="threads")(
        delayed(write_frames)(file, place, (side, WIDTHS[side]))
        for side, places in frame_folders.items()
        for file, place in zip(files, places, strict=True)
    )
    prepared = {kind: prepare_format(raw, folder, *kind) for kind in STORED}
    return Data(content, num_frames, files, frame_folders, prepared)


def prepare_format(raw: Path, folder: Path, kind: str, side: int | None) -> Place:
    """Prepares the videos in one format, by the command that users have."""
    out = folder / f"{kind}_{side}"
    arguments = ["folder", "--raw", str(raw), "--out", str(out), "--format", kind, "--val", "0.05", "--test", "0.05"]
    arguments += ["--workers", "2"] + ([] if side is None else ["--size", str(side)])
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = prepare.main(arguments)
    if status:
        raise RuntimeError(f"prepare.py {' '.join(arguments)} ended with {status}: {said.getvalue()}")
    return Place(raw if side is None else out, out)
