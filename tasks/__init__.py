"""One file per task; `build_task` chooses."""

from config.schema import Config
from data_utils.labels import LabelSet
from tasks.hierarchical import HierarchicalTask
from tasks.supervised import SupervisedTask
from tasks.task import Task


def build_task(config: Config, labels: LabelSet) -> Task:
    """The task that `config.task` names, on the CPU.

    Args:
        config: the whole config.
        labels: the last level's label set of the training catalog, for tasks that train on labels.
    """
    if config.task == "supervised":
        return SupervisedTask(config, labels)
    return HierarchicalTask(config)
