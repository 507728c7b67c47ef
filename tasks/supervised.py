"""The control: can this encoder learn the labels at all, when it is shown them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet, part_shares
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews, View
from parallel.batch_share import summed
from tasks.encoder import build_encoder, feature_dim
from tasks.supervised_settings import SupervisedSettings
from tasks.task import Losses, ParameterGroup, StepContext, Task


class SupervisedTask(Task):
    """The encoder, trained end to end: every level's units by cross-entropy on the level's own label set.

    Labels at all levels (deep supervision, Lee et al., 2015, arXiv 1409.5185): with labels for the sequence alone, the
    motion in moving_digits stays undiscovered for hundreds of steps. Patches have no labels, and an encoder without
    levels learns those of the last level alone.

    Args:
        config: the whole config.
        train: the catalog whose rows the batches name.

    Raises:
        InputError: there is a level without labels.
    """

    def __init__(self, config: Config, train: Catalog) -> None:
        super().__init__()
        augment = config.section(SupervisedSettings).augment
        self.view = View(augmentation=config.augmentation if augment else None)
        self.network = build_encoder(config)
        labelled = [level for level in config.levels if level != "backbone"]
        label_sets = _label_sets(train, labelled)
        self.classifiers = nn.ModuleDict(
            {
                level: nn.Linear(feature_dim(config, level), len(label_set.classes))
                for level, label_set in label_sets.items()
            }
        )
        self.lengths_N: Tensor
        self.register_buffer(
            "lengths_N", torch.from_numpy(train.table["frames"].to_numpy("int64", copy=True)), persistent=False
        )
        self.partly_labelled = {level for level, label_set in label_sets.items() if not label_set.is_known.all()}
        for level, label_set in label_sets.items():
            self.register_buffer(f"labels_of_{level}", torch.from_numpy(label_set.values.copy()), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The encoder without the classifiers."""
        return self.network

    @property
    def classifier(self) -> nn.Module:
        """The last level's."""
        return list(self.classifiers.values())[-1]

    @property
    def views(self) -> tuple[View, ...]:
        """The window, augmented where the config augments every training window."""
        return (self.view,)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; terms are the levels: the mean cross-entropy of a level's units."""
        (video_BTCHW,), (frames_BT,) = batch.videos, batch.frames
        units = self.network(video_BTCHW)
        terms: dict[str, Tensor] = {}
        for level, classifier in self.classifiers.items():
            labels_BK = cast(Tensor, getattr(self, f"labels_of_{level}"))[batch.rows_B]
            parts = labels_BK.shape[1]
            shares_BKU = part_shares(frames_BT, self.lengths_N[batch.rows_B], units[level].shape[1], parts)
            labels_BU = labels_BK.gather(1, shares_BKU.argmax(dim=1))
            scores_BUC = classifier(units[level]).float()
            terms[level] = _cross_entropy(scores_BUC.flatten(0, 1), labels_BU.flatten(), level in self.partly_labelled)
        return {"supervised": terms}

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder; its predictors are the classifiers."""
        return {"supervised": ParameterGroup(list(self.network.parameters()), list(self.classifiers.parameters()))}


def _label_sets(train: Catalog, levels: Sequence[str]) -> dict[str, LabelSet]:
    """By level the labels that it learns. InputError: it has none."""
    own = train.own_labels(levels)
    for level in levels:
        if level not in own or not train.labels[own[level]].is_known.any():
            raise InputError(
                f"task: supervised learns labels, and {level} has none in train.csv; set dataset.labels to columns of "
                "one class a video (or one per part), or task to hierarchical, vicreg or svt"
            )
    return {level: train.labels[name] for level, name in own.items()}


def _cross_entropy(scores_NC: Tensor, labels_N: Tensor, partly_labelled: bool) -> Tensor:
    """The mean over the units that have a label; 0 where none of them has one."""
    if not partly_labelled:
        return F.cross_entropy(scores_NC, labels_N)
    known_N = labels_N != UNKNOWN
    total = F.cross_entropy(scores_NC, labels_N, ignore_index=UNKNOWN, reduction="sum")
    # Of all processes, as some have more labels in their share than others.
    return summed(total) / summed(known_N.sum()).clamp(min=1)
