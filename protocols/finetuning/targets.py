"""What a fine-tuning learns: one class of a video, one of each of its parts, or any number at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog


@dataclass(frozen=True)
class Targets:
    """A label set of N videos, as a classifier of K parts and C classes learns it."""

    labels: LabelSet | MultiLabelSet

    @property
    def multi(self) -> bool:
        """Whether a video shows any number of classes at once."""
        return isinstance(self.labels, MultiLabelSet)

    @property
    def parts(self) -> int:
        """K."""
        return 1 if isinstance(self.labels, MultiLabelSet) else self.labels.values.shape[1]

    @property
    def classes(self) -> int:
        """C."""
        return len(self.labels.classes)

    def tensor(self) -> Tensor:
        """All of it, for `one_hot`: class numbers [N, K], int64, or of a set of several classes at once bool [N, C]."""
        if isinstance(self.labels, MultiLabelSet):
            return torch.from_numpy(self.labels.shows_NC.copy())
        return torch.from_numpy(self.labels.values.copy())

    def shows(self) -> NDArray[np.bool_]:
        """[N, C] whether a label of each video, of any of its parts, is each class."""
        if isinstance(self.labels, MultiLabelSet):
            return self.labels.shows_NC
        shows_NC = np.zeros((len(self.labels.values), self.classes), np.bool_)
        row_N, part_N = np.nonzero(self.labels.values != UNKNOWN)
        shows_NC[row_N, self.labels.values[row_N, part_N]] = True
        return shows_NC

    def one_hot(self, of_batch: Tensor) -> Tensor:
        """[B, K, C] float32, from the rows of `tensor` that a batch has."""
        return of_batch[:, None].float() if self.multi else F.one_hot(of_batch, self.classes).float()

    def loss(self, scores_BKC: Tensor, targets_BKC: Tensor, shown_BK: Tensor, smoothing: float) -> Tensor:
        """The mean over windows of the cross-entropy; for several classes at once of the mean binary one.

        Args:
            scores_BKC: before softmax or sigmoid.
            targets_BKC: in [0, 1].
            shown_BK: weights of the parts, each window's sum 1: how much of the window lies in each.
            smoothing: share of each target that is spread over all classes (Szegedy et al., 2016, arXiv 1512.00567),
                or for several classes at once, that becomes one half.
        """
        if self.multi:
            targets_BKC = (1 - smoothing) * targets_BKC + smoothing / 2
            loss_BK = F.binary_cross_entropy_with_logits(scores_BKC, targets_BKC, reduction="none").mean(dim=2)
        else:
            flat = F.cross_entropy(
                scores_BKC.flatten(0, 1), targets_BKC.flatten(0, 1), label_smoothing=smoothing, reduction="none"
            )
            loss_BK = flat.view_as(shown_BK)
        return (shown_BK * loss_BK).sum(dim=1).mean()

    def probabilities(self, scores_BKC: Tensor) -> Tensor:
        """[B, K, C] float32: of a part they sum to 1, of several classes at once each is its own."""
        return scores_BKC.float().sigmoid() if self.multi else scores_BKC.float().softmax(dim=2)


def labels_of(catalog: Catalog, name: str) -> LabelSet | MultiLabelSet:
    """The label set of that name, of whichever kind."""
    if name in catalog.labels:
        return catalog.labels[name]
    annotation = catalog.annotations[name]
    if not isinstance(annotation, MultiLabelSet):
        raise TypeError(f"'{name}' holds no classes")
    return annotation
