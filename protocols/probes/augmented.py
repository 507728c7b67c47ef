"""Linear classifiers on training windows that are augmented and encoded anew in every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from architecture.encoder import Features
from data_utils.batches.loader import Loader
from data_utils.catalog.annotations.classes import part_shares
from data_utils.views.views import View, make_views
from protocols.encoded import EncodedData
from protocols.encoded_split import IntArray
from protocols.probes.linear import LinearProbing
from protocols.probes.linear_grid import LinearGrid
from protocols.probes.material import Material
from protocols.probes.probe import Lesson
from protocols.probes.progress import Progress
from protocols.probes.questions import Question
from runs.precision import autocast_dtype

if TYPE_CHECKING:
    from protocols.linear_probe import LinearProbeSettings


@dataclass(frozen=True)
class _Encoded:
    """Augmented windows as the encoder sees them."""

    features: Features
    """By level: [B, U, D] float32 units."""
    frames_BT: Tensor
    lengths_B: Tensor
    """Frames of the videos."""
    video_B: IntArray
    """Indices into the videos of the training split."""

    def parts(self, level: str, parts: int) -> tuple[Tensor, Tensor]:
        """The mean [B, K, D] over the units of each part of the video, and whether [B, K] the window shows it."""
        units_BUD = self.features[level]
        share_BKU = part_shares(self.frames_BT, self.lengths_B, units_BUD.shape[1], parts)
        weight_BK1 = share_BKU.sum(dim=2, keepdim=True)
        means_BKU = (share_BKU / weight_BK1.clamp(min=1e-12)).to(units_BUD.device)
        return means_BKU @ units_BUD, (weight_BK1[:, :, 0] > 0).to(units_BUD)


class AugmentedLinearProbing(LinearProbing):
    """As `LinearProbing`, trained on random windows of the training videos as the run's strong views show them.

    All questions are trained in the same pass, since encoding is what takes long; steps are taken on the run's batches.
    Features are scaled by the statistics of the evaluation windows of the training videos.

    Args:
        data: the encoder with the data that `material` is of.
        title: for messages.
        material: the splits.
        settings: of the protocol.
    """

    def __init__(self, data: EncodedData, title: str, material: Material, settings: LinearProbeSettings) -> None:
        super().__init__(title, material, settings)
        self._data, self.batch_size = data, data.config.batch_size

    def groups(self, questions: Sequence[Question]) -> list[list[Question]]:
        """See `Probe.groups`."""
        return [list(questions)] if questions else []

    def input_bytes(self, group: Sequence[Question], left: int) -> tuple[int, str]:
        """See `Probe.input_bytes`: windows and activations of the encoder, which are not measured, come on top."""
        size = sum(self.features_of(question, "train").shape[2] for question in group)
        return 4 * self.batch_size * size, "features of a batch (encoding it comes on top)"

    def train(self, lessons: Sequence[Lesson], left: int) -> None:
        """See `Probe.train`."""
        data, seed = self._data, self.material.seed
        catalog = data.catalogs["train"]
        # A batch may be smaller than the run's where the videos are few; then it is all of them.
        with closing(Loader(catalog, data.config, self.batch_size, seed, training=True)) as loader:
            epochs = self.epochs(len(loader))
            progress = Progress(f"{self.title} on augmented windows", epochs)
            for epoch in range(epochs):
                for number, encoded in enumerate(self._encoded(loader, epoch)):
                    reached = (epoch + number / len(loader)) / epochs
                    for learner, question, videos_N in lessons:
                        self._step(cast(LinearGrid, learner), question, videos_N, encoded, reached)
                progress.done(epoch + 1)

    def _step(
        self, grid: LinearGrid, question: Question, videos_N: NDArray[np.bool_], encoded: _Encoded, progress: float
    ) -> None:
        learns_B = np.flatnonzero(videos_N[encoded.video_B])
        if not len(learns_B):
            return
        features_BKD, weight_BK = encoded.parts(question.level, question.targets.parts)
        kept_B = torch.from_numpy(learns_B).to(features_BKD.device)
        target_BKS = question.targets.of(encoded.video_B[learns_B])
        grid.step(features_BKD[kept_B], target_BKS, weight_BK[kept_B], progress)

    def _encoded(self, loader: Loader, epoch: int) -> Iterator[_Encoded]:
        """The batches of an epoch; videos that are not in the training split are left out."""
        data, train = self._data, self.material.splits["train"]
        config, catalog = data.config, data.catalogs["train"]
        video_of_row = np.full(len(catalog.table), -1)
        video_of_row[train.rows] = np.arange(len(train.rows))
        lengths_N = torch.from_numpy(catalog.table["frames"].to_numpy(np.int64, copy=True))
        view = View(augmentation=config.augmentation)
        for batch in loader.epoch(epoch):
            data.bad_videos.add(catalog.failures(batch.failed))
            if not len(batch.row_B):
                continue
            views = make_views(batch.to(data.device), (view,), config, self.material.seed, epoch)
            rows_B = batch.row_B
            kept_B = torch.from_numpy(video_of_row[rows_B.numpy()] >= 0)
            features = encode(data, views.videos[0])
            yield _Encoded(
                {level: units_BUD[kept_B.to(units_BUD.device)] for level, units_BUD in features.items()},
                views.frames[0].cpu()[kept_B],
                lengths_N[rows_B[kept_B]],
                video_of_row[rows_B[kept_B].numpy()],
            )


@torch.no_grad()
def encode(data: EncodedData, video_BTCHW: Tensor) -> Features:
    """Float32 units [B, U, D] of normalised windows by level; the encoder stays as it is."""
    encoder, dtype = data.encoder, autocast_dtype(data.config, data.device)
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.autocast(data.device.type, dtype, enabled=dtype is not None):
            return {level: units_BUD.float() for level, units_BUD in encoder(video_BTCHW).items()}
    finally:
        encoder.train(was_training)
