"""Linear classifiers on features that were encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from protocols.encoded_split import FloatArray, IntArray
from protocols.probes.entries import Entry
from protocols.probes.feature_rows import BLOCK, FeatureRows, Scale
from protocols.probes.linear_grid import LinearGrid
from protocols.probes.material import Material
from protocols.probes.order import POOL, batches_of, pools, steps_of_epoch
from protocols.probes.probe import Inputs, Lesson, Probe
from protocols.probes.progress import Progress
from protocols.probes.questions import Question

if TYPE_CHECKING:
    from protocols.linear_probe import LinearProbeSettings

FEWEST_EPOCHS, FEWEST_STEPS = 10, 400
"""The least length of a training, where the config does not say how long it is."""


class LinearProbing(Probe):
    """Linear classifiers of the mean of a view's units, one for every part of a label set.

    Args:
        title: for messages.
        material: the splits.
        settings: of the protocol.
    """

    def __init__(self, title: str, material: Material, settings: LinearProbeSettings) -> None:
        super().__init__(title, material, settings.memory_mb * 10**6)
        self._settings, self.batch_size = settings, settings.batch_size

    def groups(self, questions: Sequence[Question]) -> list[list[Question]]:
        """See `Probe.groups`: features can be read again for every question."""
        return [[question] for question in questions]

    def entry_bytes(self, question: Question) -> int:
        """See `Probe.entry_bytes`."""
        dim = self.features_of(question, "train").shape[2]
        return LinearGrid.entry_bytes(question.targets, dim, max(self.batch_size, BLOCK))

    def input_bytes(self, group: Sequence[Question], left: int) -> tuple[int, str]:
        """See `Probe.input_bytes`: all features where they fit, else a pool of them."""
        (question,) = group
        views, parts, dim = self.features_of(question, "train").shape
        whole = 4 * views * parts * dim
        if whole <= left:
            return whole, f"features of {views:,} views"
        return 4 * min(POOL, views) * parts * dim, f"features of {views:,} views, {POOL:,} at a time"

    def untrained(self, question: Question, entries: Sequence[Entry], videos_N: NDArray[np.bool_]) -> LinearGrid:
        """See `Probe.untrained`; features are scaled by the statistics of those videos alone."""
        features_VKD = self.features_of(question, "train")
        train = self.material.splits["train"]
        scale = None
        if self._settings.batchnorm:
            rows = np.flatnonzero(videos_N[train.view_video])
            shown_VK = train.view_shown[question.targets.parts] > 0
            scale = Scale.of(features_VKD, rows, shown_VK, self.material.device)
        return LinearGrid.untrained(question.targets, entries, features_VKD.shape[2], scale)

    def train(self, lessons: Sequence[Lesson], left: int) -> None:
        """See `Probe.train`."""
        for learner, question, videos_N in lessons:
            self._train_one(cast(LinearGrid, learner), question, videos_N, left)

    def inputs(self, question: Question, split: str) -> Iterator[tuple[IntArray, Inputs]]:
        """See `Probe.inputs`."""
        features_VKD = self.features_of(question, split)
        rows = np.arange(len(features_VKD))
        read = FeatureRows(features_VKD, rows, self.material.device, whole=False)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            yield block, (read.pool(block)[0],)

    def done(self, group: Sequence[Question]) -> None:
        """See `Probe.done`: features are the split's own."""

    def features_of(self, question: Question, split: str) -> FloatArray:
        """[V, K, D] of the views of a split."""
        return self.material.splits[split].views[question.targets.parts][question.level]

    def epochs(self, steps: int) -> int:
        """How often all views are met, where that takes so many steps each time."""
        return self._settings.epochs or max(FEWEST_EPOCHS, -(-FEWEST_STEPS // max(1, steps)))

    def _train_one(self, grid: LinearGrid, question: Question, videos_N: NDArray[np.bool_], left: int) -> None:
        train, targets = self.material.splits["train"], question.targets
        rows = np.flatnonzero(videos_N[train.view_video])
        features_VKD, shown_VK = self.features_of(question, "train"), train.view_shown[targets.parts] > 0
        whole = 4 * len(rows) * features_VKD.shape[1] * features_VKD.shape[2] <= left
        read = FeatureRows(features_VKD, rows, self.material.device, whole=whole)
        steps_each = steps_of_epoch(len(rows), self.batch_size)
        epochs, step = self.epochs(steps_each), 0
        progress = Progress(f"{self.title} of {question.level} on {question.labels}", epochs)
        for epoch in range(epochs):
            for pool in pools(len(rows), self.material.seed, epoch):
                features_PKD, places = read.pool(pool)
                for number_B in batches_of(np.arange(len(pool)), self.batch_size):
                    view_B = rows[pool[number_B]]
                    target_BKS = targets.of(train.view_video[view_B])
                    weight_BK = torch.from_numpy(shown_VK[view_B]).to(target_BKS)
                    features_BKD = features_PKD[torch.from_numpy(places[number_B])]
                    grid.step(features_BKD, target_BKS, weight_BK, step / (epochs * steps_each))
                    step += 1
            progress.done(epoch + 1)
