"""One file per task; `build_task` chooses."""

from config.schema import Config
from data_utils.catalog import Catalog
from tasks.hierarchical import HierarchicalTask
from tasks.supervised import SupervisedTask
from tasks.task import Task


def build_task(config: Config, train: Catalog) -> Task:
    """The task that `config.task` names, on the CPU.

    Args:
        config: the whole config.
        train: the training catalog, for tasks that train on labels.
    """
    if config.task == "supervised":
        return SupervisedTask(config, train)
    return HierarchicalTask(config)
