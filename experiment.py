"""What the parts of a run share: its config, its folder, its data and its evaluations, opened once for every stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from config.datasets import data_by_dataset
from config.load import LoadedConfig, render_config
from config.schema import Config
from data_utils.batches.few_videos import few_videos
from data_utils.batches.frame_reader import describe_reading
from data_utils.batches.further import BadVideosOfAll
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.catalog import Catalog
from eval import check_plateau
from protocols.evaluation import EvaluationData, Plan, plan_evaluations
from runs.folder import RunFolder
from runs.further_datasets import train_of_all
from runs.lock import RunLock
from runs.process.atomic import write_json, write_text
from runs.process.environment import describe_environment
from runs.process.memory import MemoryWatch
from runs.tracking.tracking import Tracking
from runs.written_by import written_by


@dataclass(frozen=True)
class Experiment:
    """The state that the stages of a run share."""

    loaded: LoadedConfig
    run: RunFolder
    lock: RunLock
    memory: MemoryWatch
    tracking: Tracking
    environment: dict[str, Any]
    catalogs: dict[str, Catalog]
    plan: Plan
    """The evaluations, with their data."""
    bad_videos: BadVideosOfAll
    """What could not be read, of the run's own dataset and of further ones that are trained on."""
    device: torch.device

    @property
    def config(self) -> Config:
        """The values of `loaded`."""
        return self.loaded.config


def describe_run(loaded: LoadedConfig, config: Config, run: RunFolder, device: torch.device) -> dict[str, Any]:
    """Writes down what is run, and where.

    Args:
        loaded: what is run.
        config: that the reading begins with.
        run: its folder.
        device: that computes.

    Returns:
        What environment.json says.
    """
    run.error.unlink(missing_ok=True)
    environment = describe_environment(device) | {"reading": describe_reading(config)}
    environment |= {"written_by": written_by(environment)}
    write_text(run.config, render_config(loaded))
    write_json(run.environment, environment)
    return environment


def open_experiment(
    loaded: LoadedConfig,
    run: RunFolder,
    lock: RunLock,
    memory: MemoryWatch,
    tracking: Tracking,
    environment: dict[str, Any],
    device: torch.device,
) -> Experiment:
    """Opens all data that a run, or one of its stages, needs."""
    config = loaded.config
    catalogs = open_catalogs(config, config.groups, run.bad_videos)
    catalogs["train"] = train_of_all(catalogs["train"], config, run.bad_videos)
    if config.debug:
        catalogs = few_videos(catalogs, config, config.batch_size * config.num_iters_grad_accum, config.seed)
    bad_videos = open_bad_videos(config, catalogs, run.bad_videos)
    # Before training, too: a dataset that an evaluation lacks must not be found out about when training is over.
    plan = plan_evaluations(config, EvaluationData.of(catalogs, config, bad_videos, run.features), run.bad_videos)
    check_plateau(plan, config)
    of_all = BadVideosOfAll(bad_videos, catalogs["train"], data_by_dataset(config), run.bad_videos)
    return Experiment(loaded, run, lock, memory, tracking, environment, catalogs, plan, of_all, device)
