"""Which epoch of a fine-tuning is taken: validation videos say it where they can."""

from __future__ import annotations

import logging
from math import ceil

import numpy as np

from protocols.finetuning.targets import Targets, labels_of
from protocols.metrics import average_precisions
from protocols.predictions import MultiPredictions, Predictions
from protocols.protocol import Subject

logger = logging.getLogger(__name__)

MIN_CHOICE = 10  # validation videos with a label; fewer say too little
Quality = tuple[float, float]
"""What epochs are compared by: accuracy or mAP in [0, 1], and where these are equal, the log-likelihood."""


def judged_by(subject: Subject, name: str, title: str) -> Targets | None:
    """The labels of the validation videos, which choose the epoch.

    Args:
        subject: of the fine-tuning.
        name: of the label set.
        title: of the fine-tuning, for messages.

    Returns:
        None where they cannot choose, which is told.
    """
    labels = labels_of(subject.data.catalogs["val"], name)
    known = int(labels.is_known.sum())
    if subject.split == "val":
        logger.info("%s: the last epoch is taken, as validation videos are what is scored", title)
        return None
    if known < MIN_CHOICE:
        logger.info("%s: the last epoch is taken, as %d validation videos have a label", title, known)
        return None
    return Targets(labels)


def looking_epochs(epochs: int, validations: int) -> set[int]:
    """The epochs, from 1, after which validation videos are looked at: evenly spread, the last one among them."""
    return {ceil(epochs * number / validations) for number in range(1, validations + 1)}


def quality_of(found: Predictions | MultiPredictions) -> Quality:
    """What epochs are compared by: accuracy or mAP in [0, 1], and where these are equal, the lower cross-entropy."""
    if isinstance(found, MultiPredictions):
        known_N = found.labels.is_known
        precisions_C = average_precisions(found.scores_NC[known_N], found.labels.shows_NC[known_N])[0]
        return (0.0 if np.isnan(precisions_C).all() else float(np.nanmean(precisions_C))), 0.0
    known_N = found.labels.is_known
    truth_MK, said_MKC = found.labels.values[known_N], found.probabilities_NKC[known_N]
    of_truth_MK1 = np.take_along_axis(said_MKC, truth_MK[:, :, None], axis=2)
    right = float((said_MKC.argmax(axis=2) == truth_MK).mean())
    return right, float(np.log(np.maximum(of_truth_MK1, 1e-12)).mean())
