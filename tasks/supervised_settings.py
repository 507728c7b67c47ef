"""The keys of `task: supervised`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from config.section import NonNegative, ShareAboveZero
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


class SupervisedSettings(TaskSettings):
    """The encoder end to end with labels: the control, and the alignment of a trained encoder."""

    takes_any_encoder: ClassVar[bool] = True
    takes_several_datasets: ClassVar[bool] = True
    learns_classes: ClassVar[bool] = True

    augment: bool = Field(description="whether training windows are augmented, by `augmentation`")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of a label that is spread over all classes; 0.1 in MAE's fine-tuning"
    )
    mixup: NonNegative = Field(default=0.0, description="alpha of mixup, 0.8 in MAE's fine-tuning; 0: none")
    cutmix: NonNegative = Field(
        default=0.0, description="alpha of cutmix, 1 there; 0: none; with both, every batch gets one of them"
    )
    layer_decay: ShareAboveZero = Field(
        default=1.0,
        description="learning rate of a layer as a share of that of the layer above it, 0.75 in MAE's fine-tuning; the "
        "last norm and the classifiers have it whole",
    )

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.supervised import SupervisedTask

        return SupervisedTask(config, train)
