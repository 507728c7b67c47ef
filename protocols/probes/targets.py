"""What a classifier learns of a video: one class for each of its parts, or several classes at once."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from protocols.encoded_split import FloatArray, IntArray

_FEW = 64  # classes, up to which torch's softmax takes up to three times as long as its parts, on the CPU


class Targets:
    """The labels of training videos as targets of a classifier.

    Classes that no training video shows are not learned: a classifier has S outputs for the others, and the probability
    of a class that it has never seen is 0.

    Args:
        labels: of the N training videos.
        device: where targets are wanted.
    """

    def __init__(self, labels: LabelSet | MultiLabelSet, device: torch.device) -> None:
        self.labels, self.device = labels, device
        self.several = isinstance(labels, MultiLabelSet)
        """Whether a video may show several classes: sigmoids and binary cross-entropy instead of a softmax."""
        self.parts = 1 if isinstance(labels, MultiLabelSet) else labels.values.shape[1]
        self.known_N: NDArray[np.bool_] = labels.is_known
        if isinstance(labels, MultiLabelSet):
            self.trained_S: IntArray = np.flatnonzero(labels.shows_NC.any(axis=0))
            self._shows_NS = torch.from_numpy(labels.shows_NC[:, self.trained_S])
        else:
            self.trained_S = np.unique(labels.values[self.known_N])
            # Videos without a label get any class: their weight is 0.
            places_NK = np.searchsorted(self.trained_S, labels.values).clip(0, max(0, len(self.trained_S) - 1))
            self._class_NK = torch.from_numpy(places_NK)

    @property
    def outputs(self) -> int:
        """S."""
        return len(self.trained_S)

    def of(self, video_B: IntArray) -> Tensor:
        """Targets in [0, 1] of training videos: [B, K, S] float32."""
        index_B = torch.from_numpy(video_B)
        if self.several:
            return self._shows_NS[index_B].to(self.device)[:, None].float()
        return F.one_hot(self._class_NK[index_B].to(self.device), self.outputs).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probabilities that logits [..., S] stand for."""
        if self.several:
            return logits.sigmoid()
        if self.outputs > _FEW:
            return logits.softmax(dim=-1)
        exponentials = (logits - logits.amax(dim=-1, keepdim=True)).exp()
        return exponentials / exponentials.sum(dim=-1, keepdim=True)

    def losses(self, logits_GBKS: Tensor, target_BKS: Tensor, weight_BK: Tensor) -> Tensor:
        """The cross-entropy of each classifier of a grid, [G].

        The mean over what a part's weights count, summed over parts (each of which has weights of its own) and, where
        there are several classes at once, over the classes, each of which is a question of its own.
        """
        target_GBKS = target_BKS.expand_as(logits_GBKS)
        if self.several:
            loss_GBK = F.binary_cross_entropy_with_logits(logits_GBKS, target_GBKS, reduction="none").sum(dim=-1)
        else:
            loss_GBK = -(target_GBKS * logits_GBKS.log_softmax(dim=-1)).sum(dim=-1)
        return (loss_GBK * mean_weights(weight_BK)).sum(dim=(1, 2))

    def of_all_classes(self, probabilities: FloatArray) -> FloatArray:
        """[..., S] to [..., C]: 0 for classes that were not learned."""
        if self.outputs == len(self.labels.classes):
            return probabilities
        full = np.zeros((*probabilities.shape[:-1], len(self.labels.classes)), np.float32)
        full[..., self.trained_S] = probabilities
        return full


def mean_weights(weight_BK: Tensor) -> Tensor:
    """[B, K] weights that make a sum over the batch the mean, part by part; 0 where a part has none."""
    return weight_BK / weight_BK.sum(dim=0).clamp(min=1e-12)
