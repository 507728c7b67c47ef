"""The linear probe of earlier versions: one logistic regression on the means of videos, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.encoded_split import FloatArray, IntArray
from protocols.predictions import Keep, MultiPredictions, Predictions, class_scores, multi_scores
from protocols.probes.material import Material
from protocols.protocol import Score

if TYPE_CHECKING:
    from protocols.linear_probe import LinearProbeSettings


def logistic_scores(
    material: Material, labels: Mapping[str, Sequence[str]], settings: LinearProbeSettings, keep: Keep
) -> list[Score]:
    """Scores every level and label set of which there are labelled videos to learn from and to score.

    Args:
        material: the splits.
        labels: by level, the label sets.
        settings: of the protocol.
        keep: is given what the regression says of each video.
    """
    train, asked = material.splits["train"], material.splits[material.asked]
    scores: list[Score] = []
    for level, names in labels.items():
        for name in names:
            learned, truth = (material.labels(split, name) for split in ("train", material.asked))
            if not (learned.is_known.any() and truth.is_known.any()):  # told when the evaluations were planned
                continue
            if isinstance(learned, MultiLabelSet) and isinstance(truth, MultiLabelSet):
                known, wanted = train.features[1][level][learned.is_known, 0], asked.features[1][level][:, 0]
                shows_MC = learned.shows_NC[learned.is_known]
                each_C = [_regression(known, shows_C.astype(np.int64), wanted, 2, settings) for shows_C in shows_MC.T]
                multi = MultiPredictions(level, truth, asked.rows, np.stack([of[:, 1] for of in each_C], axis=1))
                keep(multi)
                scores += multi_scores(multi, asked.groups)
            elif isinstance(learned, LabelSet) and isinstance(truth, LabelSet):
                parts = learned.values.shape[1]
                known, wanted = train.features[parts][level][learned.is_known], asked.features[parts][level]
                class_MK, classes = learned.values[learned.is_known], len(learned.classes)
                by_part = [
                    _regression(known[:, part], class_MK[:, part], wanted[:, part], classes, settings)
                    for part in range(parts)
                ]
                single = Predictions(level, truth, asked.rows, np.stack(by_part, axis=1))
                keep(single)
                scores += class_scores(single, asked.groups)
    return scores


def _regression(
    known_MD: FloatArray, class_M: IntArray, asked_ND: FloatArray, classes: int, settings: LinearProbeSettings
) -> FloatArray:
    """The probabilities [N, classes] of a regression on standardised features; 0 for classes that it does not learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities_NC = np.zeros((len(asked_ND), classes), np.float32)
    there: NDArray[np.int64] = np.unique(class_M)
    if len(there) < 2:  # a regression between classes needs two
        probabilities_NC[:, there] = 1.0
        return probabilities_NC
    regression = LogisticRegression(C=settings.inverse_penalty, max_iter=settings.max_iter)
    # Standardised: the penalty would otherwise depend on the scale of the features, which differs by level.
    fitted = make_pipeline(StandardScaler(), regression).fit(known_MD, class_M)
    probabilities_NC[:, there] = fitted.predict_proba(asked_ND)
    return probabilities_NC
