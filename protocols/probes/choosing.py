"""Which videos choose among the classifiers of a grid: validation videos where they can, else some training videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.encoded_split import FloatArray, Groups
from protocols.metrics import average_precisions
from runs.process.seeds import numpy_generator

FEWEST = 10
"""Labelled videos; fewer cannot choose, since each would be more than a tenth of the score."""
HELD_OUT = 0.2
"""Share of the training videos that choose where validation videos cannot."""
_DRAW = 7  # keeps the draw of these videos apart from others with the same seed


@dataclass(frozen=True)
class Chooser:
    """The videos that choose among the entries of a grid for one label set."""

    split: str
    """`val` or `train`."""
    chooses_N: NDArray[np.bool_]
    """Which videos of that split choose."""
    trains_N: NDArray[np.bool_]
    """The training videos that the classifiers learn from until the choice is made."""
    words: str


class Quality(NamedTuple):
    """How good a classifier is on the videos that choose; compared in this order."""

    score: float
    """Accuracy, or mean average precision, in percent."""
    likelihood: float
    """Mean logarithm of the probability of the truth: it decides between equal scores."""


def find_chooser(
    known_N: NDArray[np.bool_], groups_N: Groups, val: LabelSet | MultiLabelSet | str, seed: int
) -> Chooser | None:
    """The videos that choose for a label set.

    Args:
        known_N: the training videos with a label.
        groups_N: of the training videos.
        val: the label set of the validation videos, or why they do not choose.
        seed: which training videos are held out is a function of it.

    Returns:
        None where too few training videos have a label to spare some of them.
    """
    reason = val if isinstance(val, str) else _too_little(val)
    if not isinstance(val, str) and reason is None:
        return Chooser("val", val.is_known, known_N, f"{int(val.is_known.sum())} validation videos")
    if int(known_N.sum()) < FEWEST:
        return None
    held_N = held_out(known_N, groups_N, seed)
    whole = " in whole groups" if _has_groups(groups_N, known_N) else ""
    words = f"{int(held_N.sum())} training videos, held out{whole}, since {reason}"
    return Chooser("train", held_N, known_N & ~held_N, words)


def held_out(known_N: NDArray[np.bool_], groups_N: Groups, seed: int) -> NDArray[np.bool_]:
    """A fifth of the labelled videos, or a little more: whole groups, so that no subject is in both parts.

    Where all are of one group, single videos.
    """
    numbers_M = np.flatnonzero(known_N)
    units_M = np.arange(len(numbers_M))
    if groups_N is not None and _has_groups(groups_N, known_N):
        units_M = np.unique(groups_N[numbers_M].astype(str), return_inverse=True)[1]
    sizes = np.bincount(units_M)
    order = numpy_generator(seed, len(sizes), _DRAW).permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]  # videos that are held out already
    # The last one is always left to learn from.
    taken = order[:-1][before[:-1] < HELD_OUT * len(numbers_M)]
    held_N = np.zeros(len(known_N), np.bool_)
    held_N[numbers_M[np.isin(units_M, taken)]] = True
    return held_N


def quality(probabilities_MKC: FloatArray, labels: LabelSet | MultiLabelSet, chooses_N: NDArray[np.bool_]) -> Quality:
    """The quality of one classifier.

    Args:
        probabilities_MKC: of the videos that choose.
        labels: of the split that they are of.
        chooses_N: which ones of it they are.
    """
    if not np.isfinite(probabilities_MKC).all():  # the learning rate was too high
        return Quality(-1.0, -np.inf)
    if isinstance(labels, MultiLabelSet):
        shows_MC, scores_MC = labels.shows_NC[chooses_N], probabilities_MKC[:, 0]
        precisions_C = average_precisions(scores_MC, shows_MC)[0]
        there_C = ~np.isnan(precisions_C)
        score = float(precisions_C[there_C].mean()) if there_C.any() else 0.0
        of_truth = np.where(shows_MC, scores_MC, 1 - scores_MC)
    else:
        truth_MK = labels.values[chooses_N]
        score = float((probabilities_MKC.argmax(axis=2) == truth_MK).mean())
        of_truth = np.take_along_axis(probabilities_MKC, truth_MK[:, :, None], axis=2)
    return Quality(100 * score, float(np.log(np.maximum(of_truth, 1e-12)).mean(dtype=np.float64)))


def _has_groups(groups_N: Groups, known_N: NDArray[np.bool_]) -> bool:
    """Whether the labelled videos are of several groups, some of which have several videos."""
    if groups_N is None:
        return False
    return 1 < len(set(groups_N[known_N].tolist())) < int(known_N.sum())


def _too_little(labels: LabelSet | MultiLabelSet) -> str | None:
    """Why a label set of the validation split cannot choose; None where it can."""
    count = int(labels.is_known.sum())
    if count < FEWEST:
        return "only 1 validation video has a label" if count == 1 else f"{count or 'no'} validation videos have labels"
    if isinstance(labels, MultiLabelSet):
        varied = bool(labels.shows_NC[labels.is_known].any())
    else:
        varied = len(np.unique(labels.values[labels.is_known])) > 1
    return None if varied else "all validation videos have the same label"
