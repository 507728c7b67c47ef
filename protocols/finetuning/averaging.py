"""Several encoders of one form as one, whose weights are a mixture of theirs: what is trained is the mixture alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from architecture.depth import depth_of
from config.places import place
from data_utils.views.views import View
from protocols.averaged_probe import AveragedProbeSettings
from protocols.finetuning.copying import trainable_copy
from protocols.finetuning.network import NAME, LearningTask
from protocols.finetuning.targets import Targets
from protocols.finetuning.training import FineTuning, fine_tuned
from protocols.protocol import Score, Subject
from runs.averaging import require_same_form
from tasks.pretrained import load_encoder
from tasks.task import ParameterGroup

logger = logging.getLogger(__name__)


class AveragedTask(LearningTask):
    """A linear classifier on frozen encoders, whose weights are summed in shares that are learned or equal.

    The shares are a softmax of numbers that begin at 0, so that the plain mean is where learning starts (adaptive
    averaging, Zhong et al., 2023, arXiv 2311.06231; model soups, Wortsman et al., 2022, arXiv 2203.05482). The weights
    are summed anew in every step, and the network is called with them in the place of its own
    (`torch.func.functional_call`), so that gradient reaches the shares through the whole network.

    Args:
        encoder: the first of them, which is copied; all others as for `LearningTask`.
        others: networks of the same form, left as they are.

    Raises:
        InputError: one of them has another form.
    """

    def __init__(
        self,
        encoder: nn.Module,
        level: str,
        width: int,
        targets: Targets,
        lengths_N: Tensor,
        settings: AveragedProbeSettings,
        view: View,
        seed: int,
        others: Sequence[nn.Module],
    ) -> None:
        network = trainable_copy(encoder, level, None)
        super().__init__(network, level, width, targets, lengths_N, settings, view, seed)
        states = [network.state_dict(), *(other.state_dict() for other in others)]
        for given, state in zip(settings.others, states[1:], strict=True):
            require_same_form(states[0], state, given)
        self._names = [name for name, tensor in states[0].items() if tensor.is_floating_point()]
        for number, name in enumerate(self._names):
            stacked = torch.stack([state[name].to(states[0][name].device) for state in states])
            self.register_buffer(f"models_{number}", stacked, persistent=False)
        self._parameter_names = {name for name, _ in network.named_parameters()}
        layers = _layer_of_each(network, level) if settings.mixture == "layer" else {}
        self._layers = [layers.get(name, 0) for name in self._names]
        self.mixture_LK = nn.Parameter(torch.zeros(max(self._layers) + 1, len(states)))
        self.mixture_LK.requires_grad_(settings.mixture != "equal")

    def shares(self) -> Tensor:
        """[L, K]: the share of each encoder, by layer, or in a single row for all of them; rows sum to 1."""
        return self.mixture_LK.softmax(dim=1)

    def _units(self, video_BTCHW: Tensor) -> Tensor:
        shares_LK = self.shares()
        fixed_LK = shares_LK.detach()  # of BatchNorm's statistics, through which torch leads no gradient
        weights = {}
        for number, (name, layer) in enumerate(zip(self._names, self._layers, strict=True)):
            chosen_LK = shares_LK if name in self._parameter_names else fixed_LK
            weights[name] = torch.tensordot(chosen_LK[layer], self.get_buffer(f"models_{number}"), dims=1)
        units_BUD: Tensor = functional_call(self.network, weights, (video_BTCHW,))[self.level]
        return units_BUD

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the shares, where they are learned; its predictor is the classifier."""
        learned = [self.mixture_LK] if self.mixture_LK.requires_grad else []
        return {NAME: ParameterGroup(learned, list(self.head.parameters()))}


def averaged_scores(subject: Subject, level: str, name: str, settings: AveragedProbeSettings) -> list[Score]:
    """What a probe of the mixture of `subject`'s encoder and others reaches on one label set; logs the shares.

    Raises:
        InputError: another encoder cannot be read, or has another form.
    """
    others = [load_encoder(place(other, "settings.others")).network for other in settings.others]

    def tell(course: FineTuning) -> None:
        assert isinstance(course.task, AveragedTask)
        rows = course.task.shares().detach().cpu().tolist()
        told = "; ".join(", ".join(f"{share:.2f}" for share in row) for row in rows)
        logger.info("%s: shares of the encoder and of %s: %s", course.title, ", ".join(settings.others), told)

    return fine_tuned(subject, level, name, settings, partial(AveragedTask, others=others), tell)


def _layer_of_each(network: nn.Module, level: str) -> dict[str, int]:
    """The number of the layer of each tensor of a state dict, from the input on; what is in none counts as the last."""
    depth = depth_of(network, level)
    layers = [*depth.layers, *([depth.last_norm] if depth.last_norm else [])]
    numbers = {id(parameter): number for number, layer in enumerate(layers) for parameter in layer}
    names = {name: numbers.get(id(tensor), len(layers) - 1) for name, tensor in network.named_parameters()}
    return dict.fromkeys(network.state_dict(), len(layers) - 1) | names
