"""The control: can this encoder learn the labels at all, when it is shown them?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.labels import LabelSet
from tasks.hierarchical import build_hierarchy
from tasks.task import Losses, Task


class SupervisedTask(Task):
    """The hierarchy, trained end to end by cross-entropy on the last level's label set.

    Args:
        config: the whole config.
        labels: the last level's label set of the training catalog.

    Raises:
        InputError: the label set has several values per video; the last level sees the video as one.
    """

    def __init__(self, config: Config, labels: LabelSet) -> None:
        super().__init__()
        if labels.values.shape[1] != 1:
            raise InputError(
                f"task=supervised needs one label per video, but column '{labels.name}' has {labels.values.shape[1]}; "
                "choose another column for the last level in dataset.labels"
            )
        self.hierarchy = build_hierarchy(config, isolated=False)
        self.classifier: nn.Module = nn.Linear(config.level(config.groups[-1]).dim, len(labels.classes))
        self.labels_N: Tensor
        self.register_buffer("labels_N", torch.from_numpy(labels.values[:, 0].copy()), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The hierarchy itself."""
        return self.hierarchy

    def losses(self, video_BTCHW: Tensor, rows_B: Tensor, generator: torch.Generator) -> Losses:
        """See `Task.losses`; the only term is the cross-entropy."""
        name, units_B1D = list(self.hierarchy(video_BTCHW).items())[-1]
        scores_BK = self.classifier(units_B1D[:, 0])
        return {name: {"cross_entropy": F.cross_entropy(scores_BK.float(), self.labels_N[rows_B])}}

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """One group: everything."""
        return {"supervised": list(self.parameters())}
