"""Training on labels: the control of a recipe, and the alignment of an encoder that was trained without them."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.depth import depth_of
from config.datasets import OWN, label_space
from config.schema import Config
from data_utils.catalog.annotations.classes import UNKNOWN
from data_utils.catalog.catalog import Catalog
from data_utils.views.mixing import Mix, draw_mix
from data_utils.views.views import TrainingViews, View
from parallel.batch_share import batch_windows, next_windows, summed
from tasks.encoder import build_encoder, feature_dim
from tasks.lessons import Lesson, lessons_of
from tasks.supervised_settings import SupervisedSettings
from tasks.task import Losses, ParameterGroup, StepContext, Task


class SupervisedTask(Task):
    """The encoder, trained end to end: every level's units by cross-entropy on the level's own label set.

    Labels at all levels (deep supervision, Lee et al., 2015, arXiv 1409.5185): with labels for the sequence alone, the
    motion in moving_digits stays undiscovered for hundreds of steps. Patches have no labels, and an encoder without
    levels learns those of the last level alone. Of several datasets (`datasets`), each has classifiers of its own,
    unless it is said to have the classes of another one: class 3 of one need not be class 3 of another.

    Args:
        config: the whole config.
        train: the catalog whose rows the batches name.

    Raises:
        InputError: there is a level without labels.
    """

    def __init__(self, config: Config, train: Catalog) -> None:
        super().__init__()
        self.settings = config.section(SupervisedSettings)
        self.view = View(augmentation=config.augmentation if self.settings.augment else None)
        self.network = build_encoder(config)
        labelled = [level for level in config.levels if level != "backbone"]
        lessons, classes = lessons_of(config, train, labelled)
        self.lessons = nn.ModuleDict(lessons)
        self._spaces = {name: label_space(config, name) for name in lessons}

        def classifiers(space: str) -> nn.ModuleDict:
            counts = {level: len(classes[f"{space}.{level}"]) for level in labelled}
            return nn.ModuleDict({level: nn.Linear(feature_dim(config, level), counts[level]) for level in labelled})

        self.classifiers = classifiers(OWN)
        further = [space for space in dict.fromkeys(self._spaces.values()) if space != OWN]
        self.further_classifiers = nn.ModuleDict({space: classifiers(space) for space in further})
        self._depth = depth_of(self.network, config.levels[-1])

    @property
    def encoder(self) -> nn.Module:
        """The encoder without the classifiers."""
        return self.network

    @property
    def classifier(self) -> nn.Module:
        """The last level's, of the run's own dataset."""
        return list(self.classifiers.values())[-1]

    @property
    def views(self) -> tuple[View, ...]:
        """The window, augmented where the config augments every training window."""
        return (self.view,)

    def classifiers_of(self, dataset: str) -> nn.ModuleDict:
        """The classifiers, by level, that learn the labels of one of `datasets`; "dataset": of the run's own."""
        space = self._spaces[dataset]
        if space == OWN:
            return self.classifiers
        found = self.further_classifiers[space]
        assert isinstance(found, nn.ModuleDict)
        return found

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; terms are the levels: the mean cross-entropy of a level's units.

        The terms of further datasets are `NAME.LEVEL`.
        """
        (video_BTCHW,), (frames_BT,) = batch.videos, batch.frames
        windows, *_, height, width = video_BTCHW.shape
        shape = batch_windows(windows), height, width
        mix = draw_mix(self.settings.mixup, self.settings.cutmix, shape, step.generator)
        units = self.network(video_BTCHW if mix is None else mix.pixels(video_BTCHW))
        name = batch.dataset or OWN
        lesson = cast(Lesson, self.lessons[name])
        terms: dict[str, Tensor] = {}
        for level, classifier in self.classifiers_of(name).items():
            labels_BU = lesson.labels(level, batch.rows_B, frames_BT, units[level].shape[1])
            scores_BUC = classifier(units[level]).float()
            term = f"{name}.{level}" if batch.dataset else level
            partly = level in lesson.partly_labelled
            terms[term] = _mixed_loss(scores_BUC, labels_BU, mix, self.settings.label_smoothing, partly)
        return {"supervised": terms}

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder, whose layers may have rates of their own; its predictors are the classifiers."""
        decay = self.settings.layer_decay
        rates = self._depth.rates(decay) if decay < 1 else {}
        heads = [*self.classifiers.parameters(), *self.further_classifiers.parameters()]
        return {"supervised": ParameterGroup(list(self.network.parameters()), heads, rates)}


def _mixed_loss(
    scores_BUC: Tensor, labels_BU: Tensor, mix: Mix | None, smoothing: float, partly_labelled: bool
) -> Tensor:
    """The cross-entropy on the windows' own labels, and in their share on those of the windows mixed into them."""
    scores_NC = scores_BUC.flatten(0, 1)
    own = _cross_entropy(scores_NC, labels_BU.flatten(), smoothing, partly_labelled)
    if mix is None:
        return own
    others = _cross_entropy(scores_NC, next_windows(labels_BU).flatten(), smoothing, partly_labelled)
    return torch.lerp(others, own, mix.own)


def _cross_entropy(scores_NC: Tensor, labels_N: Tensor, smoothing: float, partly_labelled: bool) -> Tensor:
    """The mean over the units that have a label; 0 where none of them has one."""
    if not partly_labelled:
        return F.cross_entropy(scores_NC, labels_N, label_smoothing=smoothing)
    known_N = labels_N != UNKNOWN
    total = F.cross_entropy(scores_NC, labels_N, ignore_index=UNKNOWN, label_smoothing=smoothing, reduction="sum")
    # Of all processes, as some have more labels in their share than others.
    return summed(total) / summed(known_N.sum()).clamp(min=1)
