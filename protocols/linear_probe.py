"""A linear classifier on frozen features: what they hold in a form that the simplest network can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from config.section import AboveZero, Positive, Section
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from protocols.encoded_split import EncodedSplit, FloatArray, IntArray


class LinearProbeSettings(Section):
    """`settings` of an evaluation by `protocol: linear_probe`."""

    inverse_penalty: AboveZero = Field(
        default=0.1, description="C of the logistic regression: the smaller, the stronger its L2 penalty"
    )
    max_iter: Positive = Field(default=300, description="iterations of its solver (L-BFGS) at most")


class LinearProbe(Protocol[LinearProbeSettings]):
    """Accuracy of a logistic regression on standardised features, fitted on the training videos, in percent."""

    Settings = LinearProbeSettings
    title = "linear probe"
    heading = "Linear probe"
    note = "A linear classifier trained on the frozen features of the training videos."
    has_pixel_floor = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`."""
        train, test = subject.data.split("train"), subject.data.split(subject.split)
        return probe_scores(train, test, subject.labels, self.settings)


def probe_scores(
    train: EncodedSplit, test: EncodedSplit, labels: Mapping[str, Sequence[str]], settings: LinearProbeSettings
) -> list[Score]:
    """Accuracy in percent by level and label set, as `accuracies` has it."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from protocols.metrics import accuracies

    def right(train_ND: FloatArray, train_N: IntArray, test_MD: FloatArray, test_M: IntArray) -> NDArray[np.bool_]:
        if len(np.unique(train_N)) < 2:  # a regression between classes needs two
            return np.asarray(test_M == train_N[0])
        regression = LogisticRegression(C=settings.inverse_penalty, max_iter=settings.max_iter)
        # Standardised: the penalty would otherwise depend on the scale of the features, which differs by level.
        named_M = make_pipeline(StandardScaler(), regression).fit(train_ND, train_N).predict(test_MD)
        return np.asarray(named_M == test_M)

    return accuracies(train, test, labels, right)
