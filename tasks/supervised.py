"""The control: can this encoder learn the labels at all, when it is shown them?"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.schema import Config
from data_utils.catalog import Catalog
from data_utils.labels import own_labels, part_shares
from tasks.hierarchical import build_hierarchy
from tasks.task import Losses, Task


class SupervisedTask(Task):
    """The hierarchy, trained end to end: every level's units by cross-entropy on the level's own label set.

    Labels at all levels (deep supervision, Lee et al., 2015, arXiv 1409.5185): with labels for the sequence alone, the
    motion in moving_digits stays undiscovered for hundreds of steps.

    Args:
        config: the whole config.
        train: the catalog whose rows the batches name.
    """

    def __init__(self, config: Config, train: Catalog) -> None:
        super().__init__()
        self.hierarchy = build_hierarchy(config, isolated=False)
        label_sets = {level: train.labels[name] for level, name in own_labels(config.dataset, config.groups).items()}
        self.classifiers = nn.ModuleDict(
            {
                level: nn.Linear(config.level(level).dim, len(label_set.classes))
                for level, label_set in label_sets.items()
            }
        )
        self.lengths_N: Tensor
        self.register_buffer(
            "lengths_N", torch.from_numpy(train.table["frames"].to_numpy("int64", copy=True)), persistent=False
        )
        for level, label_set in label_sets.items():
            self.register_buffer(f"labels_of_{level}", torch.from_numpy(label_set.values.copy()), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The hierarchy itself."""
        return self.hierarchy

    @property
    def classifier(self) -> nn.Module:
        """The last level's."""
        return list(self.classifiers.values())[-1]

    def losses(self, video_BTCHW: Tensor, rows_B: Tensor, frames_BT: Tensor, generator: torch.Generator) -> Losses:
        """See `Task.losses`; the only term is the mean cross-entropy of a level's units."""
        losses: Losses = {}
        for level, units_BUD in self.hierarchy(video_BTCHW).items():
            labels_BK = cast(Tensor, getattr(self, f"labels_of_{level}"))[rows_B]
            shares_BKU = part_shares(frames_BT, self.lengths_N[rows_B], units_BUD.shape[1], labels_BK.shape[1])
            labels_BU = labels_BK.gather(1, shares_BKU.argmax(dim=1))
            scores_BUC = self.classifiers[level](units_BUD).float()
            losses[level] = {"cross_entropy": F.cross_entropy(scores_BUC.flatten(0, 1), labels_BU.flatten())}
        return losses

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """One group: everything."""
        return {"supervised": list(self.parameters())}
