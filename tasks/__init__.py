"""A file per task. Importing the folder imports nothing, since reading a config needs the sections of the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


def build_task(config: Config, train: Catalog) -> Task:
    """The task that `config.task` names, on the CPU; its encoder starts from `encoder_checkpoint` where there is one.

    Args:
        config: the whole config.
        train: the training catalog, for tasks that train on labels.

    Raises:
        InputError: `encoder_checkpoint` cannot be read, or is not of this encoder.
    """
    return config.task_settings.build(config, train)
