"""A run in stages: what is looked at before the first one, and what each leaves to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing

import torch

from config.curriculum import STEP
from config.errors import InputError
from config.load import LoadedConfig
from config.stage_files import write_stage_file
from eval import why_no_choice
from experiment import Experiment
from runs.folder import RunFolder
from runs.history import History
from runs.stages import leave_to_next_stage
from tasks import build_task
from tasks.carrying import networks_of, plan_for
from tasks.task import Task
from train import Trainer, training_loader

logger = logging.getLogger(__name__)


def stages_of(loaded: LoadedConfig, run: RunFolder) -> list[LoadedConfig]:
    """The configs that are trained one after another: those of the stages, or the only one."""
    stages = list(loaded.stages or (loaded,))
    for number in range(1, len(stages)):
        stages[number] = stages[number].changed("the stage before", carry_from=str(run.stage(number)))
    return stages


def check_stages(
    stages: Sequence[LoadedConfig], opened: Callable[[LoadedConfig], Experiment], device: torch.device
) -> None:
    """Looks whether every stage of a curriculum can be trained, and start from the one before it; trains nothing.

    Args:
        stages: those that are left to train.
        opened: opens the data of one.
        device: that will compute.

    Raises:
        InputError: of a stage, which the message names; days later it would cost as many days.
    """
    before: Task | None = None
    for number, stage in enumerate(stages if len(stages) > 1 else ()):
        try:
            experiment = opened(stage)
            with torch.device("meta"):  # shapes, without numbers
                config = stage.config.model_copy(update={"encoder_checkpoint": None})
                task = build_task(config, experiment.catalogs["train"])
            with closing(training_loader(task, experiment.catalogs["train"], config)) as batches:
                Trainer(task, config, len(batches), device)
            if before is not None:
                networks = networks_of(task, config, stages[number - 1].config)
                plan_for(before.state_dict(), task, networks)
        except InputError as error:
            raise InputError(f"curriculum.{STEP}{stage.config.stage}: {error}") from None
        before = task


def end_stage(experiment: Experiment, history: History, following: LoadedConfig | None) -> None:
    """Leaves the next stage what it starts from, and where it is known, its config as a file, to be started alone."""
    chosen, _ = history.choice(why_no_choice(experiment.plan, experiment.config))
    checkpoint = leave_to_next_stage(experiment.run, history, experiment.config, chosen)
    if following:
        logger.info("the config of stage %d alone: %s", following.config.stage, write_stage_file(following, checkpoint))
