"""Attentive classifiers on the tokens or units of a level, which are read once for all of them in every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_utils.catalog.annotations.classes import part_shares
from protocols.encoded import EncodedData
from protocols.encoded_split import IntArray
from protocols.encoded_tokens import EncodedTokens
from protocols.probes.attentive_grid import AttentiveGrid, Form
from protocols.probes.entries import Entry
from protocols.probes.material import Material
from protocols.probes.probe import Inputs, Lesson, Probe
from protocols.probes.progress import Progress
from protocols.probes.questions import Question

if TYPE_CHECKING:
    from protocols.attentive_probe import AttentiveProbeSettings


class AttentiveProbing(Probe):
    """Attentive classifiers; one for every label set of a level, with a head for every part.

    For a part of a video, a classifier looks at the tokens of those units that are in the part.

    Args:
        data: the encoder with the data that `material` is of.
        title: for messages.
        material: the splits.
        settings: of the protocol.
    """

    def __init__(self, data: EncodedData, title: str, material: Material, settings: AttentiveProbeSettings) -> None:
        super().__init__(title, material, settings.memory_mb * 10**6)
        self._data, self._settings = data, settings

    def groups(self, questions: Sequence[Question]) -> list[list[Question]]:
        """See `Probe.groups`: level by level."""
        levels = dict.fromkeys(question.level for question in questions)
        return [[question for question in questions if question.level == level] for level in levels]

    def entry_bytes(self, question: Question) -> int:
        """See `Probe.entry_bytes`."""
        tokens = self._tokens(question, "train").shape[0]
        return self._form(question).bytes(question.targets, self._settings.batch_size, tokens)

    def input_bytes(self, group: Sequence[Question], left: int) -> tuple[int, str]:
        """See `Probe.input_bytes`; where tokens are kept in memory, that is `features_memory_mb`."""
        tokens = self._tokens(group[0], "train")
        count, dim = tokens.shape
        batch = f"{self._settings.batch_size} views of {count:,} {self._settings.tokens} at a time, of {len(tokens):,}"
        return 2 * 4 * self._settings.batch_size * count * dim, batch

    def untrained(self, question: Question, entries: Sequence[Entry], videos_N: NDArray[np.bool_]) -> AttentiveGrid:
        """See `Probe.untrained`."""
        return AttentiveGrid(question.targets, entries, self._form(question), self.material.seed)

    def train(self, lessons: Sequence[Lesson], left: int) -> None:
        """See `Probe.train`."""
        train, epochs = self.material.splits["train"], self._settings.epochs
        tokens, device = self._tokens(lessons[0][1], "train"), self.material.device
        # Another repetition of the run meets the views in another order.
        first = (self.material.seed - self._data.config.seed) * epochs
        seen, progress = 0, Progress(f"{self.title} of {lessons[0][1].level}", epochs)
        for epoch in range(epochs):
            for tokens_BND, view_B in tokens.batches(self._settings.batch_size, first + epoch):
                on_device_BND = tokens_BND.to(device)
                for learner, question, videos_N in lessons:
                    learns_B = np.flatnonzero(videos_N[train.view_video[view_B]])
                    if not len(learns_B):
                        continue
                    view_L = view_B[learns_B]
                    target_LKS = question.targets.of(train.view_video[view_L])
                    shown_LK = torch.from_numpy(train.view_shown[question.targets.parts][view_L] > 0).to(target_LKS)
                    some_LND = (
                        on_device_BND if len(view_L) == len(view_B) else on_device_BND[torch.from_numpy(learns_B)]
                    )
                    inputs = some_LND, self._shares(question, "train", view_L)
                    cast(AttentiveGrid, learner).step(inputs, target_LKS, shown_LK, seen / (epochs * len(tokens)))
                seen += len(view_B)
            progress.done(epoch + 1)

    def inputs(self, question: Question, split: str) -> Iterator[tuple[IntArray, Inputs]]:
        """See `Probe.inputs`."""
        for tokens_BND, view_B in self._tokens(question, split).batches(self._settings.batch_size):
            yield view_B, (tokens_BND.to(self.material.device), self._shares(question, split, view_B))

    def done(self, group: Sequence[Question]) -> None:
        """See `Probe.done`: tokens of one level after another take memory."""
        self._data.drop_tokens(group[0].level)

    def _tokens(self, question: Question, split: str) -> EncodedTokens:
        return self._data.tokens(split, question.level, self._settings.tokens)

    def _form(self, question: Question) -> Form:
        tokens, settings = self._tokens(question, "train"), self._settings
        return Form(
            units=tokens.units,
            dim=tokens.shape[1],
            heads=settings.heads,
            queries=settings.queries,
            mlp_ratio=settings.mlp_ratio,
            dropout=settings.dropout,
        )

    def _shares(self, question: Question, split: str, view_B: IntArray) -> Tensor:
        """[B, K, U] how much of each unit of the views lies in each part of the video."""
        views, frames_N = self.material.splits[split], self._data.catalogs[split].table["frames"]
        row_B = views.rows[views.view_video[view_B]]
        lengths_B = torch.from_numpy(frames_N.to_numpy(np.int64)[row_B])
        frames_BT = torch.from_numpy(np.ascontiguousarray(views.view_frames[view_B]))
        units = self._tokens(question, split).units
        return part_shares(frames_BT, lengths_B, units, question.targets.parts).to(self.material.device)
