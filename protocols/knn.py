"""k nearest neighbours on frozen features: nothing is fitted, so that it is cheap enough for every validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from config.section import AboveZero, Positive, Section
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from protocols.encoded_split import EncodedSplit, FloatArray, IntArray


class KNNSettings(Section):
    """`settings` of an evaluation by `protocol: knn`."""

    k: Positive = Field(default=20, description="neighbours (fewer when the bank is smaller)")
    bank: Positive = Field(
        default=1200, description="training videos that validation compares with; the final test takes all"
    )
    temperature: AboveZero = Field(default=0.07, description="a neighbour of cosine s votes with exp(s / temperature)")


def knn_settings(evaluations: Mapping[str, Any]) -> KNNSettings:
    """The settings of the evaluation `knn`, or the defaults if a config has none."""
    settings = getattr(evaluations.get("knn"), "settings", None)
    return settings if isinstance(settings, KNNSettings) else KNNSettings()


class KNN(Protocol[KNNSettings]):
    """Accuracy of `knn_predict` on every level and label set, in percent."""

    Settings = KNNSettings
    title = "kNN"
    heading = "k nearest neighbours"
    note = "Frozen features; the label of a test video is voted by its nearest training videos."

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; training videos are the bank."""
        # Validation happens many times and only has to tell checkpoints apart: a part of the training videos will do.
        bank = subject.data.split("train", self.settings.bank if subject.split == "val" else None)
        return knn_scores(bank, subject.data.split(subject.split), subject.labels, self.settings)


def knn_scores(
    bank: EncodedSplit, queries: EncodedSplit, labels: Mapping[str, Sequence[str]], settings: KNNSettings
) -> list[Score]:
    """Accuracy in percent by level and label set, as `accuracies` has it."""
    from protocols.metrics import accuracies

    def right(bank_ND: FloatArray, bank_N: IntArray, query_MD: FloatArray, query_M: IntArray) -> NDArray[np.bool_]:
        predicted_M = knn_predict(bank_ND, bank_N, query_MD, settings.k, settings.temperature)
        right_M: NDArray[np.bool_] = predicted_M == query_M
        return right_M

    return accuracies(bank, queries, labels, right)


def knn_predict(
    bank_ND: FloatArray, labels_N: IntArray, queries_MD: FloatArray, k: int, temperature: float
) -> IntArray:
    """The class that the k nearest neighbours vote for (weighted kNN of Wu et al., 2018, arXiv 1805.01978).

    Features are centred by the bank's mean and L2-normalised; a neighbour of cosine s counts exp(s / temperature).

    Args:
        bank_ND: [N, D].
        labels_N: [N] int, from 0.
        queries_MD: [M, D].
        k: neighbours; fewer when the bank is smaller.
        temperature: of the votes.

    Returns:
        [M].
    """
    import torch
    import torch.nn.functional as F

    # Without centring, what all vectors share makes every cosine nearly 1, and neighbours cannot be told apart.
    mean_D = bank_ND.mean(axis=0)
    bank = F.normalize(torch.from_numpy(bank_ND - mean_D), dim=1)
    queries = F.normalize(torch.from_numpy(queries_MD - mean_D), dim=1)
    labels = torch.from_numpy(labels_N)
    votes_MC = torch.zeros(len(queries), int(labels.max()) + 1)
    for start in range(0, len(queries), 1024):
        cosine, neighbour = (queries[start : start + 1024] @ bank.T).topk(min(k, len(bank)), dim=1)
        # exp of a difference: the largest vote is 1, whatever the temperature.
        vote = ((cosine - cosine[:, :1]) / temperature).exp()
        votes_MC[start : start + 1024].scatter_add_(1, labels[neighbour], vote)
    predicted: IntArray = votes_MC.argmax(dim=1).numpy()
    return predicted
