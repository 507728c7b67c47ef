"""Linear classifiers on the same features, one for each entry of a grid, trained at once as one batched weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protocols.probes.entries import Entry, as_tensors
from protocols.probes.feature_rows import Scale
from protocols.probes.probe import Inputs
from protocols.probes.targets import Targets, mean_weights
from schedules import half_cosine

MOMENTUM = 0.9


@dataclass
class LinearGrid:
    """G linear classifiers for each of K parts, from D features to S classes.

    Steps are those of stochastic gradient descent with Nesterov momentum (`torch.optim.SGD`), with an L2 penalty on
    weights and none on biases, and a learning rate that falls to 0 along half a cosine. The loss is convex, so that
    weights begin at 0.

    Attributes:
        targets: what is learned.
        entries: the G learning rates and weight decays.
        scale: of the features; None: they are taken as they are.
        weight_KDGS: float32, as is all else.
        bias_K1GS: not decayed.
    """

    targets: Targets
    entries: list[Entry]
    scale: Scale | None
    weight_KDGS: Tensor
    bias_K1GS: Tensor

    def __post_init__(self) -> None:
        self._lr_G1, self._weight_decay_G1 = as_tensors(self.entries, self.weight_KDGS.device)
        self._momentum = [torch.zeros_like(values) for values in (self.weight_KDGS, self.bias_K1GS)]

    @classmethod
    def untrained(cls, targets: Targets, entries: Sequence[Entry], dim: int, scale: Scale | None) -> LinearGrid:
        """Classifiers of D features, all 0."""
        shape = len(entries), targets.outputs
        weight_KDGS = torch.zeros(targets.parts, dim, *shape, device=targets.device)
        bias_K1GS = torch.zeros(targets.parts, 1, *shape, device=targets.device)
        return cls(targets, list(entries), scale, weight_KDGS, bias_K1GS)

    def logits(self, inputs: Inputs) -> Tensor:
        """[G, B, K, S], of features [B, K, D]."""
        (features_BKD,) = inputs
        return self._logits_KBGS(self._scaled_KBD(features_BKD)).permute(2, 1, 0, 3)

    def step(self, features_BKD: Tensor, target_BKS: Tensor, weight_BK: Tensor, progress: float) -> None:
        """One step of all entries, by the gradient of `Targets.losses`.

        Args:
            features_BKD: of a batch.
            target_BKS: in [0, 1].
            weight_BK: of each sample and part in the mean over the batch.
            progress: of the training, from 0 to 1.
        """
        features_KBD = self._scaled_KBD(features_BKD)
        # Of softmax and of sigmoid alike, the gradient of the cross-entropy is the difference to the target.
        error_KBGS = self.targets.probabilities(self._logits_KBGS(features_KBD))
        error_KBGS.sub_(target_BKS.transpose(0, 1)[:, :, None])
        error_KBGS.mul_(mean_weights(weight_BK).T[:, :, None, None])
        gradient_KDGS = torch.bmm(features_KBD.transpose(1, 2), error_KBGS.flatten(2)).view_as(self.weight_KDGS)
        gradient_KDGS.addcmul_(self._weight_decay_G1, self.weight_KDGS)
        gradients = [gradient_KDGS, error_KBGS.sum(dim=1, keepdim=True)]
        step_G1 = self._lr_G1 * -half_cosine(1.0, 0.0, progress)
        for values, gradient, momentum in zip(
            (self.weight_KDGS, self.bias_K1GS), gradients, self._momentum, strict=True
        ):
            momentum.mul_(MOMENTUM).add_(gradient)
            values.addcmul_(step_G1, gradient.add_(momentum, alpha=MOMENTUM))

    def only(self, number: int) -> LinearGrid:
        """The classifiers of one entry."""
        one = slice(number, number + 1)
        weight_KDGS, bias_K1GS = self.weight_KDGS[:, :, one].clone(), self.bias_K1GS[:, :, one].clone()
        return LinearGrid(self.targets, self.entries[one], self.scale, weight_KDGS, bias_K1GS)

    @staticmethod
    def entry_bytes(targets: Targets, dim: int, batch_size: int) -> int:
        """Memory of an entry: weights, momentum, gradient; probabilities and their temporary copies of a batch."""
        outputs = targets.parts * targets.outputs
        return 4 * outputs * (3 * (dim + 1) + 3 * batch_size)

    def _scaled_KBD(self, features_BKD: Tensor) -> Tensor:
        scaled_BKD = features_BKD if self.scale is None else self.scale(features_BKD)
        return scaled_BKD.transpose(0, 1)

    def _logits_KBGS(self, features_KBD: Tensor) -> Tensor:
        flat = torch.baddbmm(self.bias_K1GS.flatten(2), features_KBD, self.weight_KDGS.flatten(2))
        return flat.view(*flat.shape[:2], *self.weight_KDGS.shape[2:])
