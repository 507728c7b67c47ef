"""The keys of `task: vicreg`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from config.section import NonNegative, Positive
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


class VICRegSettings(TaskSettings):
    """Two windows of a video, the same encoder (Bardes et al., 2022, arXiv 2105.04906)."""

    takes_any_encoder: ClassVar[bool] = True
    takes_several_datasets: ClassVar[bool] = True

    proj_dim: Positive = Field(description="width of the three layers of the projector")
    invariance: NonNegative = Field(description="weight of the mean squared distance of the two views")
    variance: NonNegative = Field(description="weight of the variance term")
    covariance: NonNegative = Field(description="weight of the covariance term")

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.vicreg import VICRegTask

        return VICRegTask(config)
