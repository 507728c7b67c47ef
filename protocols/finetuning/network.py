"""A copy of an encoder with a classifier on one of its levels, to be trained as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from architecture.depth import depth_of
from architecture.hierarchy import HierarchicalTransformer
from data_utils.catalog.annotations.classes import part_shares
from data_utils.views.mixing import draw_mix
from data_utils.views.views import TrainingViews, View
from protocols.finetune import FinetuneSettings, LearningSettings
from protocols.finetuning.copying import parameters_of_levels, trainable_copy
from protocols.finetuning.targets import Targets
from runs.process.seeds import torch_generator
from tasks.task import Losses, ParameterGroup, StepContext, Task

NAME = "finetune"  # of the one parameter group
_HEAD = 17  # the last word of the key: keeps the head's weights apart from other draws with the same seed


class LearningTask(Task):
    """A network with a linear classifier on the mean of one level's units, or of those of each part.

    What is not trained of the network gets no gradient, and runs as in evaluation.

    Args:
        network: a hierarchy, a joint transformer, or a network of torchvision, for this task alone.
        level: whose units are classified; those above it take no part.
        width: of the level's features.
        targets: what each row of the training catalog is taught.
        lengths_N: frames of the videos, by row.
        settings: of the learning.
        view: the look at a window that it learns from.
        seed: of the classifier's initial weights.
    """

    def __init__(
        self,
        network: nn.Module,
        level: str,
        width: int,
        targets: Targets,
        lengths_N: Tensor,
        settings: LearningSettings,
        view: View,
        seed: int,
    ) -> None:
        super().__init__()
        self.level, self.targets, self.learning, self._view = level, targets, settings, view
        self.network = network
        self.head = nn.Linear(width, targets.classes)
        # As MAE begins: no class is preferred, and the first steps do not push the encoder about at random.
        nn.init.trunc_normal_(self.head.weight, std=2e-5, generator=torch_generator(seed, _HEAD))
        nn.init.zeros_(self.head.bias)
        self.targets_N: Tensor
        self.lengths_N: Tensor
        self.register_buffer("targets_N", targets.tensor(), persistent=False)
        self.register_buffer("lengths_N", lengths_N, persistent=False)
        self._train_only([])

    def _train_only(self, trained: Sequence[nn.Parameter]) -> None:
        known = {id(parameter) for parameter in trained}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in known)
        self._resting = [
            module
            for module in self.network.modules()
            if any(True for _ in module.parameters()) and not any(p.requires_grad for p in module.parameters())
        ]

    def train(self, mode: bool = True) -> Self:
        """Training mode but for what is frozen: its statistics stay, and nothing in it is dropped."""
        super().train(mode)
        for module in self._resting:
            module.eval()
        return self

    @property
    def encoder(self) -> nn.Module:
        """The copy."""
        return self.network

    @property
    def views(self) -> tuple[View, ...]:
        """The one look."""
        return (self._view,)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`: one term, of windows that are mixed where the settings say so."""
        (video,), (frames_BT,) = batch.videos, batch.frames
        windows, *_, height, width = video.shape
        settings = self.learning
        mix = draw_mix(settings.mixup, settings.cutmix, (windows, height, width), step.generator)
        units_BUD = self._units(video if mix is None else mix.pixels(video))
        with torch.autocast(video.device.type, enabled=False):
            shares_BKU = self._shares(frames_BT, batch.rows_B, units_BUD.shape[1])
            targets_BKC = self.targets.one_hot(self.targets_N[batch.rows_B])
            if mix is not None:
                others_BKC = _seen_in_parts(shares_BKU, shares_BKU.roll(-1, dims=0), targets_BKC.roll(-1, dims=0))
                targets_BKC = torch.lerp(others_BKC, targets_BKC, mix.own)
            scores_BKC = self._classified(units_BUD, shares_BKU)
            shown_BK = shares_BKU.mean(dim=2)
            return {NAME: {"loss": self.targets.loss(scores_BKC, targets_BKC, shown_BK, settings.label_smoothing)}}

    def classify(self, video_BTCHW: Tensor, frames_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """What it says of normalised windows.

        Args:
            video_BTCHW: on the task's device, as all the others.
            frames_BT: the frames' positions in their videos.
            lengths_B: frames of the videos.

        Returns:
            Probabilities [B, K, C], float32, and [B, K] how much of each window lies in each part; where that is 0, the
            probabilities mean nothing.
        """
        units_BUD = self._units(video_BTCHW)
        with torch.autocast(video_BTCHW.device.type, enabled=False):
            shares_BKU = part_shares(frames_BT, lengths_B, units_BUD.shape[1], self.targets.parts)
            scores_BKC = self._classified(units_BUD, shares_BKU)
            return self.targets.probabilities(scores_BKC), shares_BKU.mean(dim=2)

    def _units(self, video_BTCHW: Tensor) -> Tensor:
        """The level's units [B, U, D], and nothing of the levels above."""
        if isinstance(self.network, HierarchicalTransformer):
            return self.network.encode(video_BTCHW, self.level).summaries[self.level]
        units_BUD: Tensor = self.network(video_BTCHW)[self.level]
        return units_BUD

    def _shares(self, frames_BT: Tensor, rows_B: Tensor, units: int) -> Tensor:
        return part_shares(frames_BT, self.lengths_N[rows_B], units, self.targets.parts)

    def _classified(self, units_BUD: Tensor, shares_BKU: Tensor) -> Tensor:
        """[B, K, C]: of the mean of each part's units."""
        scores_BKC: Tensor = self.head(_normalised(shares_BKU) @ units_BUD.float())
        return scores_BKC


class FinetuneTask(LearningTask):
    """A copy of an encoder that is trained as a whole, but for levels that are frozen.

    Gradient goes through all levels, whatever the isolation that they were trained with, and nothing is added to what a
    level gets from below.

    Args:
        encoder: is copied; the others as for `LearningTask`.

    Raises:
        InputError: drop path is asked of a network that has no blocks to skip.
    """

    def __init__(
        self,
        encoder: nn.Module,
        level: str,
        width: int,
        targets: Targets,
        lengths_N: Tensor,
        settings: FinetuneSettings,
        view: View,
        seed: int,
    ) -> None:
        network = trainable_copy(encoder, level, settings.drop_path)
        super().__init__(network, level, width, targets, lengths_N, settings, view, seed)
        self.settings = settings
        self._depth = depth_of(self.network, level)
        frozen = parameters_of_levels(self.network, settings.freeze)
        used = [parameter for layer in [*self._depth.layers, self._depth.last_norm] for parameter in layer]
        self.trained = [parameter for parameter in used if id(parameter) not in frozen]
        """The encoder's parameters that are trained."""
        self._train_only(self.trained)

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group, whose predictor is the classifier; layers have rates of their own."""
        rates = self._depth.rates(self.settings.layer_decay)
        return {NAME: ParameterGroup(self.trained, list(self.head.parameters()), rates)}


def _normalised(shares_BKU: Tensor) -> Tensor:
    """Weights of units that sum to 1 over each part; 0 where the window does not show it."""
    return shares_BKU / shares_BKU.sum(dim=2, keepdim=True).clamp(min=1e-6)


def _seen_in_parts(shares_BKU: Tensor, theirs_BJU: Tensor, targets_BJC: Tensor) -> Tensor:
    """The labels of other windows, of whose parts the units in each part of these windows are: [B, K, C]."""
    return _normalised(shares_BKU) @ theirs_BJU.mT @ targets_BJC
