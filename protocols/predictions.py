"""What a classifier says of each video of a split, and the numbers that follow from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.encoded_split import FloatArray, Groups, IntArray
from protocols.metrics import (
    accuracy_score,
    average_precisions,
    calibration_error,
    mean_class_accuracy,
    mean_interval,
)
from protocols.protocol import Score
from runs.process.seeds import numpy_generator

_NAMED = 5  # classes that a message names
_LEAST = 1e-30  # probability, above the least number of float32
_RESAMPLES = 200  # of videos or groups, for the interval of a mean average precision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewPredictions:
    """What a classifier says of each view (a crop of a window) alone."""

    probabilities_VKC: FloatArray
    """Meaningless where `shown_VK` is False."""
    video_V: IntArray
    """The video that each is of, an index into the videos of the split."""
    shown_VK: NDArray[np.bool_]
    """Whether the view shows anything of the part."""

    def of_videos(self, videos: int, logits: bool = False) -> FloatArray:
        """The mean probabilities over the views of each video and part, [N, K, C]; 0 where no view shows the part.

        Args:
            videos: N.
            logits: average what the classifier says before the softmax instead.
        """
        if logits:
            # Logs of probabilities are logits but for a number that all classes share, and that a softmax takes away.
            logs = replace(self, probabilities_VKC=np.log(np.maximum(self.probabilities_VKC, _LEAST)))
            exponents_NKC = np.exp(logs.of_videos(videos).astype(np.float64))
            shown_NK1 = logs.shown_videos(videos)[:, :, None]
            return np.where(shown_NK1, exponents_NKC / exponents_NKC.sum(axis=2, keepdims=True), 0.0).astype(np.float32)
        shown_VK1 = self.shown_VK[:, :, None]
        sums_NKC = np.zeros((videos, *self.probabilities_VKC.shape[1:]), np.float64)
        np.add.at(sums_NKC, self.video_V, np.where(shown_VK1, self.probabilities_VKC, 0.0))
        counts_NK1 = np.zeros((videos, self.shown_VK.shape[1], 1))
        np.add.at(counts_NK1, self.video_V, shown_VK1.astype(np.float64))
        return (sums_NKC / np.maximum(counts_NK1, 1)).astype(np.float32)

    def shown_videos(self, videos: int) -> NDArray[np.bool_]:
        """[N, K] whether a view of the video shows anything of the part."""
        shown_NK = np.zeros((videos, self.shown_VK.shape[1]), np.bool_)
        np.logical_or.at(shown_NK, self.video_V, self.shown_VK)
        return shown_NK


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of the videos of a split, where each has one class, or one for each of its parts."""

    level: str | None
    labels: LabelSet
    """The labels of the N videos; those without one are not scored."""
    rows_N: IntArray
    """The videos' rows in the catalog."""
    probabilities_NKC: FloatArray
    """The probability of each class of `labels`; rows sum to 1."""
    views: ViewPredictions | None = None
    """Where videos have several, and the classifier has looked at each."""


@dataclass(frozen=True)
class MultiPredictions:
    """What a classifier says of the videos of a split, where each may have several classes at once."""

    level: str | None
    labels: MultiLabelSet
    """The labels of the N videos; those that are not annotated are not scored."""
    rows_N: IntArray
    """The videos' rows in the catalog."""
    scores_NC: FloatArray
    """The higher, the more likely is the class; of a sigmoid, the probability."""


Keep = Callable[[Predictions | MultiPredictions], None]


def class_scores(predictions: Predictions, groups_N: Groups = None) -> list[Score]:
    """Accuracies and calibration of predictions, in percent; parts are scored one by one, the mean counts.

    Args:
        predictions: of a split.
        groups_N: of its videos, for the interval; None where each is a group of its own.

    Returns:
        `top1`; then `top5` (where there are more than five classes), `mean_class` (the mean over classes), `ece` (the
        calibration error), and where the views are known `acc` (of a view alone) and `acc_mv` (of all views of a
        video: `top1` under the name that it has elsewhere). [] where no video has a label.
    """
    labels, level = predictions.labels, predictions.level
    known_N = labels.is_known
    if not known_N.any():
        return []
    truth_MK, probabilities_MKC = labels.values[known_N], predictions.probabilities_NKC[known_N]
    groups_M = None if groups_N is None else groups_N[known_N]
    right_MK = probabilities_MKC.argmax(axis=2) == truth_MK
    top1 = accuracy_score(level, labels, right_MK, groups_M)
    scores = [top1]

    def add(metric: str, percent: float, interval: float | None = None) -> None:
        scores.append(Score(level, labels.name, metric, percent, interval=interval, primary=False))

    if len(labels.classes) > 5:
        among_MK = is_among(probabilities_MKC, truth_MK, 5)
        add("top5", 100 * float(among_MK.mean()), mean_interval(among_MK.mean(axis=1, dtype=np.float64), groups_M))
    parts = range(truth_MK.shape[1])
    add("mean_class", 100 * float(np.mean([mean_class_accuracy(right_MK[:, k], truth_MK[:, k]) for k in parts])))
    add("ece", 100 * float(np.mean([calibration_error(probabilities_MKC[:, k], truth_MK[:, k]) for k in parts])))
    if predictions.views is not None:
        add("acc", 100 * _view_accuracy(predictions.views, labels))
        add("acc_mv", top1.value, top1.interval)
    return scores


def is_among(probabilities_MKC: FloatArray, truth_MK: IntArray, count: int) -> NDArray[np.bool_]:
    """[M, K] whether the truth is among the `count` most likely classes; of equal ones, the first count as likelier."""
    of_truth_MK1 = np.take_along_axis(probabilities_MKC, truth_MK[:, :, None], axis=2)
    likelier_MK = (probabilities_MKC > of_truth_MK1).sum(axis=2)
    earlier_C = np.arange(probabilities_MKC.shape[2])
    tied_MKC = (probabilities_MKC == of_truth_MK1) & (earlier_C < truth_MK[:, :, None])
    among: NDArray[np.bool_] = likelier_MK + tied_MKC.sum(axis=2) < count
    return among


def _view_accuracy(views: ViewPredictions, labels: LabelSet) -> float:
    """The share of views, of videos with a label, that are right alone; of parts that a view shows."""
    truth_VK = labels.values[views.video_V]
    counts_VK = views.shown_VK & labels.is_known[views.video_V][:, None]
    right_VK = views.probabilities_VKC.argmax(axis=2) == truth_VK
    return float(right_VK[counts_VK].mean()) if counts_VK.any() else 0.0


def multi_scores(predictions: MultiPredictions, groups_N: Groups = None) -> list[Score]:
    """The mean average precision of predictions of several classes at once, in percent.

    Args:
        predictions: of a split.
        groups_N: of its videos, for the interval; None where each is a group of its own.

    Returns:
        `mAP`: the mean over the classes that a video of the split shows; the log names the others. Its chance is the
        mean share of positives, its interval is by a bootstrap over groups or videos. [] where no video is annotated.
    """
    labels = predictions.labels
    known_N = labels.is_known
    shows_MC, scores_MC = labels.shows_NC[known_N], predictions.scores_NC[known_N]
    precisions_C = average_precisions(scores_MC, shows_MC)[0]
    missing = np.flatnonzero(np.isnan(precisions_C))
    if len(missing) == len(precisions_C):
        return []
    if len(missing):
        names = ", ".join(labels.classes[number] for number in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        logger.info("mAP of '%s' leaves out what no video shows: %s%s", labels.name, names, more)
    chance = 100 * float(shows_MC.mean(axis=0)[~np.isnan(precisions_C)].mean())
    groups_M = np.arange(len(shows_MC)) if groups_N is None else groups_N[known_N]
    interval = _precision_interval(scores_MC, shows_MC, groups_M)
    value = 100 * float(np.nanmean(precisions_C))
    return [Score(predictions.level, labels.name, "mAP", value, chance=chance, interval=interval)]


def _precision_interval(scores_MC: FloatArray, shows_MC: NDArray[np.bool_], groups_M: NDArray[np.generic]) -> float:
    """Half the width of the 95 % interval of the mAP in percent, by a bootstrap over groups."""
    names, group_M = np.unique(groups_M.astype(str), return_inverse=True)
    drawn_SG = numpy_generator(0, len(names), _RESAMPLES).integers(len(names), size=(_RESAMPLES, len(names)))
    counts_SG = np.stack([np.bincount(drawn_G, minlength=len(names)) for drawn_G in drawn_SG]).astype(np.float64)
    precisions_SC = average_precisions(scores_MC, shows_MC, counts_SG[:, group_M])
    precisions_SC = precisions_SC[~np.isnan(precisions_SC).all(axis=1)]
    low, high = np.percentile(np.nanmean(precisions_SC, axis=1), [2.5, 97.5])
    return 100 * float(high - low) / 2
