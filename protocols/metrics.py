"""What is measured on a split, and what tells whether it means anything: chance, and an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from protocols.encoded_split import EncodedSplit, FloatArray, Groups, IntArray
from protocols.protocol import Score
from runs.process.seeds import numpy_generator

Accuracy = Callable[[FloatArray, IntArray, FloatArray, IntArray], NDArray[np.bool_]]
"""Which of the queries are right, on (query features, query labels), given (known features, known labels)."""

RESAMPLES = 2000  # of groups, for an interval
BINS = 15  # of confidence, for the calibration error

# --------------------------------------------------------------------------------------- accuracies of all levels


def accuracies(
    bank: EncodedSplit, queries: EncodedSplit, labels: Mapping[str, Sequence[str]], accuracy: Accuracy
) -> list[Score]:
    """The accuracy of levels on label sets, in percent; one with K parts is scored part by part, the mean counts.

    Args:
        bank: the videos whose labels are known.
        queries: the videos that are scored.
        labels: by level, the label sets.
        accuracy: of one part.

    Returns:
        A score for every level and label set of which both have labelled videos.
    """
    scores = []
    for level, names in labels.items():
        for name in names:
            bank_labels, query_labels = bank.labels[name], queries.labels[name]
            mine, theirs = bank_labels.is_known, query_labels.is_known  # videos without a label are not scored
            if not (mine.any() and theirs.any()):  # told when the evaluations were planned
                continue
            parts = bank_labels.values.shape[1]
            known, asked = bank.features[parts][level], queries.features[parts][level]
            answers, truth = bank_labels.values[mine], query_labels.values[theirs]
            right = [accuracy(known[mine, i], answers[:, i], asked[theirs, i], truth[:, i]) for i in range(parts)]
            groups = None if queries.groups is None else queries.groups[theirs]
            scores.append(accuracy_score(level, query_labels, np.stack(right, axis=1), groups))
    return scores


def accuracy_score(
    level: str | None, labels: LabelSet, right_MK: NDArray[np.bool_], groups_M: Groups = None, metric: str = "top1"
) -> Score:
    """An accuracy in percent, with chance and interval.

    Args:
        level: whose features were scored.
        labels: of the split.
        right_MK: what was right of the M labelled videos and their K parts.
        groups_M: of the labelled videos; None where each is a group of its own.
        metric: its name.
    """
    percent = 100 * float(right_MK.mean())
    interval = mean_interval(right_MK.mean(axis=1, dtype=np.float64), groups_M)
    return Score(level, labels.name, metric, percent, chance=chance(labels), interval=interval)


def chance(labels: LabelSet) -> float:
    """Accuracy in percent of always naming each part's commonest class."""
    counts = [np.bincount(values).max() / len(values) for values in labels.values[labels.is_known].T if len(values)]
    return 100 * float(np.mean(counts)) if counts else 0.0


# ------------------------------------------------------------------------------------------------------ intervals


def mean_interval(share_M: NDArray[np.float64], groups_M: Groups = None) -> float:
    """Half the width of the 95 % interval of the mean over videos, in percent.

    Videos of one group (a subject, a source) are right or wrong together, so they say less than as many strangers. The
    larger one counts of the interval of independent videos (Wilson, 1927) and that of a bootstrap over groups: a few
    groups may agree by chance, which makes them no surer.

    Args:
        share_M: in [0, 1], one number per video.
        groups_M: of the videos; None: each is a group of its own.
    """
    independent = confidence_interval(100 * float(share_M.mean()) if len(share_M) else 0.0, len(share_M))
    if groups_M is None or len(set(groups_M.tolist())) in (1, len(groups_M)):
        return independent
    return max(independent, 100 * bootstrap_interval(share_M, groups_M))


def bootstrap_interval(share_M: NDArray[np.float64], groups_M: NDArray[Any]) -> float:
    """Half the width of the 95 % interval of the mean, by a bootstrap over groups (Efron and Tibshirani, 1993).

    Whole groups are drawn with replacement, as many as there are. Half the distance of the 2.5th and 97.5th percentile
    of the means is multiplied by sqrt(G / (G - 1)), by which a bootstrap over G groups is too narrow. The draws are the
    same for the same number of groups.
    """
    names, group_M = np.unique(groups_M.astype(str), return_inverse=True)
    count = len(names)
    sums_G = np.bincount(group_M, weights=share_M)
    counts_G = np.bincount(group_M).astype(np.float64)
    drawn_SG = numpy_generator(0, count, RESAMPLES).integers(count, size=(RESAMPLES, count))
    means_S = sums_G[drawn_SG].sum(axis=1) / counts_G[drawn_SG].sum(axis=1)
    low, high = np.percentile(means_S, [2.5, 97.5])
    return float(high - low) / 2 * math.sqrt(count / (count - 1))


def confidence_interval(accuracy: float, samples: int) -> float:
    """Half the width of the 95 % interval of an accuracy (Wilson, 1927), both in percent."""
    if samples == 0:
        return 100.0
    p, z = accuracy / 100, 1.96
    return 100 * z / (1 + z**2 / samples) * math.sqrt(p * (1 - p) / samples + z**2 / (4 * samples**2))


# ------------------------------------------------------------------------------------- what probabilities are worth


def mean_class_accuracy(right_M: NDArray[np.bool_], truth_M: IntArray) -> float:
    """Mean over the classes that there are of the accuracy on their videos, in [0, 1]."""
    counts_C = np.bincount(truth_M)
    right_C = np.bincount(truth_M, weights=right_M)
    there_C = counts_C > 0
    return float((right_C[there_C] / counts_C[there_C]).mean())


def calibration_error(probabilities_MC: FloatArray, truth_M: IntArray) -> float:
    """Expected calibration error in [0, 1] (Guo et al., 2017, arXiv 1706.04599).

    Videos are put into 15 equal bins of the probability of the class that is named; it is the mean over the videos of
    the difference between a bin's mean probability and its accuracy.
    """
    named_M = probabilities_MC.argmax(axis=1)
    confidence_M = probabilities_MC[np.arange(len(named_M)), named_M].astype(np.float64)
    bin_M = np.clip(np.ceil(confidence_M * BINS).astype(np.int64) - 1, 0, BINS - 1)
    right_M = (named_M == truth_M).astype(np.float64)
    gap_B = np.bincount(bin_M, weights=right_M - confidence_M, minlength=BINS)
    return float(np.abs(gap_B).sum() / max(len(named_M), 1))


def confusion(named_M: IntArray, truth_M: IntArray, classes: int) -> IntArray:
    """How many videos of each class (row) were named as each (column): [C, C]."""
    counts: IntArray = np.bincount(truth_M * classes + named_M, minlength=classes**2).reshape(classes, classes)
    return counts


def average_precisions(
    scores_MC: FloatArray, shows_MC: NDArray[np.bool_], weights_SM: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Average precision of each class as scikit-learn has it: the mean precision at the recall of each positive.

    Args:
        scores_MC: the higher, the likelier.
        shows_MC: the truth.
        weights_SM: how often each video counts, in S samples; None: once, in one.

    Returns:
        [S, C] in [0, 1]; nan for a class without positives.
    """
    if weights_SM is None:
        weights_SM = np.ones((1, len(scores_MC)))
    values_SC = np.full((len(weights_SM), scores_MC.shape[1]), np.nan)
    for number in np.flatnonzero(shows_MC.any(axis=0)):
        order_M = np.argsort(-scores_MC[:, number], kind="stable")
        scores_M, shows_M = scores_MC[order_M, number], shows_MC[order_M, number]
        # Equal scores are named together: a threshold lies behind the last of them.
        last_T = np.append(np.flatnonzero(np.diff(scores_M)), len(scores_M) - 1)
        named_ST = np.cumsum(weights_SM[:, order_M], axis=1)[:, last_T]
        right_ST = np.cumsum(weights_SM[:, order_M] * shows_M, axis=1)[:, last_T]
        gained_ST = np.diff(right_ST, axis=1, prepend=0.0)
        positives_S = right_ST[:, -1]
        area_S = (gained_ST * right_ST / np.maximum(named_ST, 1e-12)).sum(axis=1)
        values_SC[:, number] = np.where(positives_S > 0, area_S / np.maximum(positives_S, 1e-12), np.nan)
    return values_SC
