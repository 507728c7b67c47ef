"""Siamese baseline: two windows of one video are pulled together; variance and covariance terms keep videos apart."""

from __future__ import annotations

from torch import Tensor, nn

from architecture.batch_statistics import count
from architecture.projection_heads import Expander
from config.schema import Config
from data_utils.views.views import TrainingViews, View
from losses import vicreg_terms
from tasks.encoder import build_encoder, feature_dim
from tasks.task import Losses, ParameterGroup, StepContext, Task
from tasks.vicreg_settings import VICRegSettings


class VICRegTask(Task):
    """VICReg (Bardes, Ponce and LeCun, 2022, arXiv 2105.04906) on two augmented windows of each video.

    One encoder, trained end to end, and one projector see both windows; the loss is on the last level's features. The
    variance and covariance terms of the two windows are summed, as in the paper (the authors' code halves the sum of
    the variance terms: half of `vicreg.variance` is the same).

    Args:
        config: the whole config.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.settings, self.augmentation = config.section(VICRegSettings), config.augmentation
        self.level = config.levels[-1]
        self.network = build_encoder(config)
        self.projector = Expander(feature_dim(config, self.level), self.settings.proj_dim, config.batchnorm_momentum)

    @property
    def encoder(self) -> nn.Module:
        """The encoder without the projector."""
        return self.network

    @property
    def views(self) -> tuple[View, ...]:
        """Two windows of the video, each augmented by itself."""
        return View(window=0, augmentation=self.augmentation), View(window=1, augmentation=self.augmentation)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; terms are invariance, variance and covariance."""
        first_ND, second_ND = (self._project(video_BTCHW) for video_BTCHW in batch.videos)
        weights = self.settings.invariance, self.settings.variance, self.settings.covariance
        return {"vicreg": vicreg_terms(first_ND, second_ND, *weights)}

    def _project(self, video_BTCHW: Tensor) -> Tensor:
        """The projected features of the last level's only unit: [B, D]."""
        features_ND: Tensor = self.network(video_BTCHW)[self.level].flatten(0, 1)
        if count(features_ND) == 1:  # all other videos of the batch were unreadable: statistics need two
            features_ND = features_ND.expand(2, -1)
        projected_ND: Tensor = self.projector(features_ND)
        return projected_ND

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the encoder; its predictor is the projector."""
        return {"vicreg": ParameterGroup(list(self.network.parameters()), list(self.projector.parameters()))}
