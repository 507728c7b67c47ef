"""One file per task; `build_task` chooses."""

from config.schema import Config
from data_utils.catalog import Catalog
from tasks.hierarchical import HierarchicalTask
from tasks.supervised import SupervisedTask
from tasks.svt import SVTTask
from tasks.task import Task
from tasks.vicreg import VICRegTask


def build_task(config: Config, train: Catalog) -> Task:
    """The task that `config.task` names, on the CPU; its encoder starts from `encoder_checkpoint` where there is one.

    Args:
        config: the whole config.
        train: the training catalog, for tasks that train on labels.

    Raises:
        InputError: `encoder_checkpoint` cannot be read, or is not of this encoder.
    """
    match config.task:
        case "supervised":
            return SupervisedTask(config, train)
        case "vicreg":
            return VICRegTask(config)
        case "svt":
            return SVTTask(config)
        case "hierarchical":
            return HierarchicalTask(config)
