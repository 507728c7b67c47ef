"""Retrieval: is one of the nearest training videos of the same class? Nothing is fitted, and nobody votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from config.section import Positive, Section
from protocols.knn import Numbers, as_list
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    import torch

    from protocols.encoded_split import EncodedSplit, FloatArray, IntArray


class RetrievalSettings(Section):
    """`settings` of an evaluation by `protocol: retrieval`."""

    ranks: Numbers = Field(
        default=[1, 5, 10, 20, 50],
        description="numbers of nearest training videos among which one of the class is looked for (all of them where "
        "there are fewer); the first one counts, the others are told beside it",
    )
    bank: Positive = Field(
        default=1200, description="training videos that validation looks among; the final test looks among all"
    )


class Retrieval(Protocol[RetrievalSettings]):
    """R@n: the share of the videos that have one of their class among the n nearest training videos, in percent.

    As reported for representations of video since Xu et al. (2019, CVPR, "Self-supervised Spatiotemporal Learning via
    Video Clip Order Prediction"), with the centred and normalised features of kNN.
    """

    Settings = RetrievalSettings
    title = "retrieval"
    heading = "Retrieval"
    note = "Frozen features; a test video counts where one of its nearest training videos is of its class."
    has_pixel_floor = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; test videos ask, training videos answer."""
        bank = subject.data.split("train", self.settings.bank if subject.split == "val" else None)
        queries = subject.data.split(subject.split)
        return retrieval_scores(bank, queries, subject.labels, as_list(self.settings.ranks), subject.data.device)


def retrieval_scores(
    bank: EncodedSplit,
    queries: EncodedSplit,
    labels: Mapping[str, Sequence[str]],
    ranks: Sequence[int],
    device: torch.device | str = "cpu",
) -> list[Score]:
    """`R@n` of levels on label sets, for every n in `ranks`; label sets with K parts are scored part by part.

    Args:
        bank: the videos among which those of the same class are looked for.
        queries: the videos that are scored.
        labels: by level, the label sets.
        ranks: of which the first one counts.
        device: what compares.
    """
    import numpy as np

    from protocols.metrics import mean_interval
    from protocols.neighbours import neighbours_of

    scores = []
    for found in neighbours_of(bank, queries, labels, max(ranks), device):
        asked, known = queries.labels[found.labels], bank.labels[found.labels]
        mine_M, groups_N = np.flatnonzero(asked.is_known), queries.groups
        truth_MK = asked.values[mine_M]
        class_MKn = np.stack([known.values[index_Nn[mine_M], part] for part, index_Nn in enumerate(found.index_KNk)], 1)
        right_MKn = class_MKn == truth_MK[:, :, None]
        for rank in ranks:
            share_M = right_MKn[:, :, :rank].any(axis=2).mean(axis=1, dtype=np.float64)
            interval = mean_interval(share_M, None if groups_N is None else groups_N[mine_M])
            floor = chance_among(known.values[known.is_known], truth_MK, rank)
            value, is_first = 100 * float(share_M.mean()), rank == ranks[0]
            scores.append(Score(found.level, found.labels, f"R@{rank}", value, floor, interval, primary=is_first))
    return scores


def chance_among(known_NK: IntArray, truth_MK: IntArray, rank: int) -> float:
    """How often, in percent, one of so many training videos that are drawn at random is of the class.

    Args:
        known_NK: the classes of the training videos, by part.
        truth_MK: those of the videos that ask.
        rank: videos that are drawn, without replacement; all N where that is more.
    """
    import numpy as np

    drawn = min(rank, len(known_NK))
    chances = []
    for known_N, truth_M in zip(known_NK.T, truth_MK.T, strict=True):
        counts_C = np.bincount(known_N, minlength=int(truth_M.max()) + 1)
        chances.append(_one_at_least(counts_C, len(known_N), drawn)[truth_M].mean())
    return 100 * float(np.mean(chances))


def _one_at_least(counts_C: IntArray, total: int, drawn: int) -> FloatArray:
    """The probability that `drawn` of `total` videos hold one of each class's."""
    import numpy as np

    # Video after video misses the class; 0 from where only videos of the class are left.
    step_R1 = np.arange(drawn)[:, None]
    missed_RC = np.maximum(total - step_R1 - counts_C, 0) / (total - step_R1)
    some: FloatArray = 1 - missed_RC.prod(axis=0)
    return some
