"""k nearest neighbours on frozen features: nothing is fitted, so that it is cheap enough for every validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from config.messages import shown
from config.section import AboveZero, Positive, Section
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    import torch

    from protocols.encoded_split import EncodedSplit, FloatArray, IntArray
    from protocols.neighbours import Neighbours
    from protocols.predictions import Keep, MultiPredictions, Predictions


def _numbers(value: Any) -> Any:
    """The value as it is; ValueError where it is no `Numbers`, in one sentence for both of its forms."""
    numbers = value if isinstance(value, list) else [value]
    whole = [number for number in numbers if type(number) is int and number >= 1]
    if not numbers or len(set(whole)) < len(numbers):
        raise ValueError(f"expected a whole number, at least 1, or a list of different ones, got {shown(value)}")
    return value


Numbers = Annotated[Positive | list[Positive], BeforeValidator(_numbers)]
"""A whole number, or several different ones."""


def as_list(numbers: int | list[int]) -> list[int]:
    """All of the numbers."""
    return [numbers] if isinstance(numbers, int) else numbers


class KNNSettings(Section):
    """`settings` of an evaluation by `protocol: knn`."""

    k: Numbers = Field(
        default=20,
        description="neighbours (fewer when the bank is smaller); of several numbers, the first one counts and the "
        "others are told beside it",
    )
    bank: Positive = Field(
        default=1200, description="training videos that validation compares with; the final test takes all"
    )
    temperature: AboveZero = Field(default=0.07, description="a neighbour of cosine s votes with exp(s / temperature)")

    @property
    def ks(self) -> list[int]:
        """All numbers of neighbours, the one that counts first."""
        return as_list(self.k)


def knn_settings(evaluations: Mapping[str, Any]) -> KNNSettings:
    """The settings of the evaluation `knn`, or the defaults if a config has none."""
    settings = getattr(evaluations.get("knn"), "settings", None)
    return settings if isinstance(settings, KNNSettings) else KNNSettings()


class KNN(Protocol[KNNSettings]):
    """Accuracy of the class that the nearest training videos vote for, at every level and label set, in percent."""

    Settings = KNNSettings
    title = "kNN"
    heading = "k nearest neighbours"
    note = "Frozen features; the label of a test video is voted by its nearest training videos."
    has_pixel_floor = True
    scores_multi = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; training videos are the bank."""
        # Validation happens many times and only has to tell checkpoints apart: a part of the training videos will do.
        bank = subject.data.split("train", self.settings.bank if subject.split == "val" else None)
        queries = subject.data.split(subject.split)
        return knn_scores(bank, queries, subject.labels, self.settings, subject.data.device, subject.keep)


def knn_scores(
    bank: EncodedSplit,
    queries: EncodedSplit,
    labels: Mapping[str, Sequence[str]],
    settings: KNNSettings,
    device: torch.device | str = "cpu",
    keep: Keep = lambda _: None,
) -> list[Score]:
    """The scores of levels on label sets.

    Args:
        bank: the videos that vote.
        queries: the videos that are scored.
        labels: by level, the label sets.
        settings: numbers of neighbours, and the temperature of their votes.
        device: what compares.
        keep: is given what the first number of neighbours says of each video.

    Returns:
        What `class_scores` and `multi_scores` have, for every level and label set of which both splits have labelled
        videos; of further numbers of neighbours, accuracies and mAP alone, as `top1@100`.
    """
    from protocols.neighbours import neighbours_of
    from protocols.predictions import MultiPredictions, class_scores, multi_scores

    scores = []
    for found in neighbours_of(bank, queries, labels, max(settings.ks), device):
        for k in settings.ks:
            predicted = _predictions(found, bank, queries, k, settings.temperature)
            if isinstance(predicted, MultiPredictions):
                mine = multi_scores(predicted, queries.groups)
            else:
                mine = class_scores(predicted, queries.groups)
            if k == settings.ks[0]:
                keep(predicted)
                scores += mine
                continue
            told = [score for score in mine if score.metric in ("top1", "top5", "mAP")]
            scores += [replace(score, metric=f"{score.metric}@{k}", primary=False) for score in told]
    return scores


def _predictions(
    found: Neighbours, bank: EncodedSplit, queries: EncodedSplit, k: int, temperature: float
) -> Predictions | MultiPredictions:
    """What the k nearest of the neighbours say of each video."""
    import numpy as np

    from protocols.predictions import MultiPredictions, Predictions

    weight_KNk, index_KNk = vote_weights(found.cosine_KNk[..., :k], temperature), found.index_KNk[..., :k]
    if found.labels in queries.multi:
        shows_BC, asked = bank.multi[found.labels].shows_NC, queries.multi[found.labels]
        scores_NC = np.zeros(asked.shows_NC.shape, np.float32)
        for weight_N, index_N in zip(weight_KNk[0].T, index_KNk[0].T, strict=True):
            scores_NC += weight_N[:, None] * shows_BC[index_N]
        return MultiPredictions(found.level, asked, queries.rows, scores_NC)
    labels = queries.labels[found.labels]
    class_KNk = np.stack([bank.labels[found.labels].values[index, part] for part, index in enumerate(index_KNk)])
    by_part = [votes(*voters, len(labels.classes)) for voters in zip(class_KNk, weight_KNk, strict=True)]
    return Predictions(found.level, labels, queries.rows, np.stack(by_part, axis=1))


def vote_weights(cosine_Nk: FloatArray, temperature: float) -> FloatArray:
    """How much each neighbour counts: exp(cosine / temperature) as a share of the sum over the k neighbours."""
    import numpy as np

    # exp of a difference: the largest is 1, whatever the temperature.
    weight_Nk = np.exp((cosine_Nk - cosine_Nk[..., :1]) / np.float32(temperature))
    shares: FloatArray = weight_Nk / weight_Nk.sum(axis=-1, keepdims=True)
    return shares


def votes(class_Nk: IntArray, weight_Nk: FloatArray, classes: int) -> FloatArray:
    """The share of the votes that each class gets: [N, C]."""
    import torch

    votes_NC = torch.zeros(len(class_Nk), classes)
    votes_NC.scatter_add_(1, torch.from_numpy(class_Nk), torch.from_numpy(weight_Nk))
    shares: FloatArray = votes_NC.numpy()
    return shares


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
        [M]; of classes with as many votes, the first.
    """
    import numpy as np

    from protocols.neighbours import nearest

    cosine_Mk, index_Mk = nearest(bank_ND, np.arange(len(bank_ND)), queries_MD, np.arange(len(queries_MD)), k)
    votes_MC = votes(labels_N[index_Mk], vote_weights(cosine_Mk, temperature), int(labels_N.max()) + 1)
    predicted: IntArray = votes_MC.argmax(axis=1)
    return predicted
