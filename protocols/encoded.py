"""Encoders give units of windows, scores are of videos: here windows and units are averaged, once for all protocols."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.batches.loader import Batch, Loader
from data_utils.catalog.annotations.classes import LabelSet, part_shares
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import crops_per_window, evaluation_views
from monitors import Singles

if TYPE_CHECKING:
    from protocols.window_memory import WindowMemory

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedSplit:
    """A split as an encoder sees it.

    Attributes:
        features: by number of parts K and level: [N, K, D], the mean over windows, their crops, and units of each K-th
            of a video.
        singles: single units and windows, for the monitors.
        labels: the label sets of the N videos.
        rows: [N] catalog rows; a video that could not be read is absent.
    """

    features: dict[int, dict[str, FloatArray]]
    singles: Singles
    labels: dict[str, LabelSet]
    rows: IntArray


@torch.no_grad()
def encode_split(
    encoder: nn.Module,
    catalog: Catalog,
    config: Config,
    device: torch.device,
    bad_videos: BadVideos,
    batches: Iterable[Batch] | None = None,
) -> EncodedSplit:
    """Encodes every evaluation window and crop of a split and averages to one vector per video, part and level.

    Args:
        encoder: gives Features; left in the mode that it was in.
        catalog: the split.
        config: the whole config.
        device: where the encoder is.
        bad_videos: is told what cannot be read.
        batches: the windows; None: they are read.

    Raises:
        InputError: no video is left, or too many cannot be read.
    """
    labels = catalog.labels
    # A video with several labels in time is averaged part by part, so that each label has a vector of its own.
    parts = sorted({1} | {label_set.values.shape[1] for label_set in labels.values()})
    sums: dict[int, dict[str, Tensor]] = {count: {} for count in parts}
    weights: dict[int, dict[str, Tensor]] = {count: {} for count in parts}
    windows = len(catalog.table) * config.window.eval_windows * crops_per_window(config)
    singles = Singles(windows, config.seed)
    lengths_N = torch.from_numpy(catalog.table["frames"].to_numpy(np.int64, copy=True))
    was_training = encoder.training
    encoder.eval()
    for batch in evaluation_batches(catalog, config, bad_videos) if batches is None else batches:
        views = evaluation_views(batch, config, device)
        features = encoder(views.video_BTCHW)
        singles.add(features, views.rows_B)
        for level, units_BUD in features.items():
            for count in parts:
                share_BKU = part_shares(views.frames_BT, lengths_N[views.rows_B], units_BUD.shape[1], count)
                total_NKD = sums[count].setdefault(level, torch.zeros(len(lengths_N), count, units_BUD.shape[2]))
                # Summed on the CPU: there are as many rows as videos, and a GPU would add them in no fixed order.
                total_NKD.index_add_(0, views.rows_B, (share_BKU.to(device) @ units_BUD.float()).cpu())
                weight_NK = weights[count].setdefault(level, torch.zeros(len(lengths_N), count))
                weight_NK.index_add_(0, views.rows_B, share_BKU.sum(dim=2))
    encoder.train(was_training)
    seen_N = _fully_seen(weights, catalog)
    return EncodedSplit(
        features={
            count: {lv: (sums[count][lv][seen_N] / weights[count][lv][seen_N, :, None]).numpy() for lv in sums[count]}
            for count in parts
        },
        singles=singles,
        labels={name: replace(known, values=known.values[seen_N.numpy()]) for name, known in labels.items()},
        rows=np.flatnonzero(seen_N.numpy()),
    )


def _fully_seen(weights: dict[int, dict[str, Tensor]], catalog: Catalog) -> Tensor:
    """[N] whether windows show every part of a video: where they do not, it is left out rather than guessed."""
    if not weights[1]:
        raise InputError(f"no video of the split {catalog.split} can be read any more; bad_videos.csv says why")
    # All levels see the same frames: any one will do.
    shown = {count: next(iter(by_level.values())).amin(dim=1) > 0 for count, by_level in weights.items()}
    seen_N = torch.stack(list(shown.values())).all(dim=0)
    missed = int((shown[1] & ~seen_N).sum())
    advice = "some of its labels are of parts that no window shows; raise window.eval_windows"
    if not seen_N.any():
        raise InputError(f"no video of the split {catalog.split} can be scored: {advice}")
    if missed:
        logger.warning("%s: %d videos are left out: %s", catalog.split, missed, advice)
    return seen_N


def evaluation_batches(catalog: Catalog, config: Config, bad_videos: BadVideos) -> Iterator[Batch]:
    """The batches of a split, in order; processes that decode live as long as this does."""
    with closing(Loader(catalog, config, config.batch_size, config.seed, training=False)) as loader:
        for batch in loader.epoch(0):
            bad_videos.add(catalog.failures(batch.failed))
            if len(batch.row_B):
                yield batch


class EncodedData:
    """One encoder with the splits of one dataset, each of which is encoded when it is first asked for.

    Attributes:
        encoder: gives Features; no protocol changes it.
        name: of the dataset, for results and messages.
        catalogs: by split.
        config: the run's, with this dataset, its windows and sizes.
        device: where the encoder is.
    """

    def __init__(
        self,
        encoder: nn.Module,
        name: str,
        catalogs: Mapping[str, Catalog],
        config: Config,
        device: torch.device,
        bad_videos: BadVideos,
        memory: WindowMemory | None = None,
    ) -> None:
        """`bad_videos` is told what cannot be read; `memory` may have windows of the data, and gets those that fit."""
        self.encoder, self.name, self.catalogs, self.config, self.device = encoder, name, catalogs, config, device
        self._bad_videos, self._memory = bad_videos, memory
        self._encoded: dict[tuple[str, int], EncodedSplit] = {}

    def split(self, split: str, videos: int | None = None) -> EncodedSplit:
        """A split as the encoder sees it, or at most `videos` of it, the same ones for a seed."""
        catalog = self.catalogs[split]
        count = len(catalog.table) if videos is None else min(videos, len(catalog.table))
        if (split, count) not in self._encoded:
            chosen = catalog if videos is None else catalog.sample(videos, self.config.seed)
            read = (chosen, self.config, self._bad_videos)
            batches = self._memory.batches((split, count), *read) if self._memory else evaluation_batches(*read)
            found = encode_split(self.encoder, chosen, self.config, self.device, self._bad_videos, batches)
            self._encoded[split, count] = found
        return self._encoded[split, count]
