"""The keys of `task: supervised`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


class SupervisedSettings(TaskSettings):
    """The encoder end to end with labels, the control."""

    takes_any_encoder: ClassVar[bool] = True
    learns_classes: ClassVar[bool] = True

    augment: bool = Field(description="whether training windows are augmented, by `augmentation`")

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.supervised import SupervisedTask

        return SupervisedTask(config, train)
