"""A few windows of test videos, each of another video: what pictures of a model at work are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config.schema import Config
from data_utils.batches.frame_reader import FrameReader, reader_for
from data_utils.batches.loader import Batch
from data_utils.batches.windows import evaluation_starts, frame_indices
from data_utils.catalog.catalog import Catalog
from data_utils.video_files.decoding import VideoError
from data_utils.views.views import evaluation_views, middle_view
from protocols.encoded import EncodedData
from runs.process.seeds import numpy_generator

SAMPLED = 32  # videos whose windows are looked at; far fewer of them are drawn
_ORDER = 7  # keeps this stream apart from other draws with the same seed


@dataclass(frozen=True)
class SampledWindows:
    """The middle windows of some videos of a split."""

    video_BTCHW: Tensor
    """Normalised, in the middle crop, on the device of the encoder."""
    frames_BTHWC: NDArray[np.uint8]
    """The same as pictures."""
    rows_B: NDArray[np.int64]
    """The videos' rows in the catalog."""
    captions: list[str]
    """What each video is called, and its labels."""


class Frames:
    """The frames of the videos of a catalog, read one video at a time and without processes.

    Args:
        catalog: the videos.
        config: how they are read.
    """

    def __init__(self, catalog: Catalog, config: Config) -> None:
        self.catalog, self._config = catalog, config
        self._reader: FrameReader = reader_for(catalog, config)

    def read(self, row: int, frames_T: NDArray[np.int64]) -> NDArray[np.uint8]:
        """[T, H, W, 3] at the size that is read. Raises VideoError."""
        height, width = self._config.read_size
        return self._reader.read(self.catalog.root / str(self.catalog.stored[row]), frames_T, (height, width))

    def facts(self, row: int) -> tuple[int, float]:
        """Number of frames and frame rate of a video."""
        return int(self.catalog.table["frames"].iloc[row]), float(self.catalog.table["fps"].iloc[row])

    def windows(self, row: int, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The windows that begin at `starts`: uint8 [W, T, C, H, W] and positions [W, T]. Raises VideoError."""
        count, fps = self.facts(row)
        config = self._config
        frames_WT = np.stack([frame_indices(at, count, fps, config.window, config.short_videos) for at in starts])
        # Windows overlap: every frame is decoded once.
        needed, place_N = np.unique(frames_WT, return_inverse=True)
        pixels_NHWC = self.read(row, needed)
        windows_WTHWC = torch.from_numpy(pixels_NHWC)[torch.from_numpy(place_N.reshape(frames_WT.shape))]
        return windows_WTHWC.permute(0, 1, 4, 2, 3), torch.from_numpy(frames_WT)


def sampled_windows(data: EncodedData, split: str, count: int = SAMPLED) -> SampledWindows:
    """Windows of `count` videos of a split, the same ones for a seed; videos that cannot be read are left out.

    Raises:
        VideoError: none of them can be read.
    """
    catalog, config = data.catalogs[split], one_window(data.config)
    frames = Frames(catalog, config)
    videos, positions, rows = [], [], []
    failed: VideoError | None = None
    for row in sampled_rows(data.split(split).rows, count, config.seed):
        length, fps = frames.facts(row)
        try:
            pixels, frames_1T = frames.windows(row, evaluation_starts(length, fps, config.window, config.short_videos))
        except VideoError as error:
            failed = error
            continue
        videos.append(pixels)
        positions.append(frames_1T)
        rows.append(row)
    if failed is not None and not videos:
        raise failed
    batch = Batch(torch.cat(videos), torch.tensor(rows), torch.cat(positions), [])
    return SampledWindows(
        evaluation_views(batch, config, data.device).video_BTCHW,
        middle_view(batch.video_BTCHW, config).permute(0, 1, 3, 4, 2).numpy(),
        np.array(rows),
        [caption_of(catalog, row) for row in rows],
    )


def sampled_rows(rows_N: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """At most `count` of the rows, drawn without regard to labels."""
    drawn = numpy_generator(seed, len(rows_N), _ORDER).permutation(len(rows_N))
    return [int(row) for row in rows_N[drawn[:count]]]


def one_window(config: Config) -> Config:
    """The config with a single evaluation window and crop, those in the middle."""
    crop = "centre" if config.eval_crop == "three" else config.eval_crop
    window = config.window.model_copy(update={"eval_windows": 1})
    return config.model_copy(update={"window": window, "eval_crop": crop})


def caption_of(catalog: Catalog, row: int) -> str:
    """A video's path and labels."""
    labels = [f"{name} {label_set.text(row)}" for name, label_set in catalog.labels.items()]
    path = str(catalog.table["path"].iloc[row])
    return f"{path}: {', '.join(labels)}" if labels else path


def first_of(sampled: SampledWindows, count: int) -> SampledWindows:
    """The first `count` of them."""
    return replace(
        sampled,
        video_BTCHW=sampled.video_BTCHW[:count],
        frames_BTHWC=sampled.frames_BTHWC[:count],
        rows_B=sampled.rows_B[:count],
        captions=sampled.captions[:count],
    )
