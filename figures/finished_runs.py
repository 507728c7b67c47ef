"""A run that has ended, or was interrupted, opened so that it can be drawn: its data, weights and numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, cast

import torch
from pydantic import ValidationError
from torch import nn

from config.datasets import own_data_alone
from config.errors import InputError
from config.load import restore_config
from config.merging import merge
from config.messages import first_error
from config.schema import Config
from config.spellings import respelled
from data_utils.batches.few_videos import few_videos
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.dataset_card import completed
from data_utils.prepare.embedded import make_missing
from figures.request import DrawRequest
from figures.windows import FirstWindows
from protocols.encoded import EncodedData
from protocols.evaluation import EvaluationData, Plan, plan_evaluations
from runs.folder import RunFolder
from runs.further_datasets import train_of_all
from runs.results import Result, results_of
from runs.resuming import load_weights_of, read_checkpoint
from tasks import build_task
from tasks.pretrained import load_encoder
from tasks.task import Task
from train import training_loader
from visualization import DrawnRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A run with what it has left, on the device that computes."""

    folder: RunFolder
    config: Config
    """With the changes that the command line asks for."""
    plan: Plan
    task: Task
    encoded: EncodedData
    """Its own data with its encoder."""
    results: list[Result]
    """What it says of the test videos; [] where it has not ended, or is drawn with other values."""

    def drawn(self) -> DrawnRun:
        """What figures show of it; encodes the test videos."""
        train = self.encoded.catalogs["train"]

        def read() -> FirstWindows:
            with closing(training_loader(self.task, train, own_data_alone(self.config))) as batches:
                return FirstWindows.of(next(batches.epoch(0)), train)

        test = self.encoded.split("test")
        kept = self.folder.epoch_features
        return DrawnRun(self.config, self.plan, self.task, test, self.results, read, kept, self.encoded)


@contextmanager
def opened_run(request: DrawRequest) -> Iterator[FinishedRun]:
    """Opens the run that a request names; nothing in its folder changes.

    Raises:
        InputError: it has left no weights, a file is damaged, it has no such level, or its data cannot be used.
    """
    folder = RunFolder(request.run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = _Weights.of(folder)
    for level in request.levels or ():
        if level not in weights.config.levels:
            raise InputError(f"--level {level}: {request.run} has {', '.join(weights.config.levels)}")
    config = _changed(weights.config, request)
    with TemporaryDirectory() as lists:  # the run's own list of unreadable videos stays as it is
        plan, config, catalogs = _opened_data(config, folder, Path(lists) / "bad_videos.csv")
        task, encoder = weights.put_into(config, catalogs["train"], device)
        results = _results(folder) if not request.changes else []
        yield FinishedRun(folder, config, plan, task, plan.own.seen_by(encoder, device), results)


@dataclass(frozen=True)
class _Weights:
    """What a run has left of its networks: a checkpoint, or its encoder alone."""

    config: Config
    folder: RunFolder
    checkpoint: tuple[Path, dict[str, Any]] | None
    encoder: nn.Module | None

    @classmethod
    def of(cls, folder: RunFolder) -> _Weights:
        """The best that there are. Raises InputError where there are none."""
        for path in (folder.best, folder.last):
            if path.is_file():
                content = read_checkpoint(path)
                history = content["history"]
                if not folder.summary.is_file():
                    step = int(history.get("first_step", 0)) + int(history["step"])
                    logger.warning("%s has not ended: these are its weights of step %d", folder.root, step)
                return cls(restore_config(content["config"], str(path)), folder, (path, content), None)
        try:
            exported = load_encoder(folder.root)
        except InputError as error:
            raise InputError(f"{folder.root} has no checkpoint that could be drawn: {error}") from None
        logger.warning("%s has no checkpoint any more: what needs more than its encoder is not drawn", folder.root)
        return cls(exported.config, folder, None, exported.network)

    def put_into(self, config: Config, train: Catalog, device: torch.device) -> tuple[Task, nn.Module]:
        """The task and its encoder, on the device."""
        if self.encoder is not None:
            return cast("Task", _Lost(self.folder)), self.encoder.to(device).eval()
        assert self.checkpoint is not None
        task = build_task(config.model_copy(update={"encoder_checkpoint": None}), train)
        load_weights_of(self.checkpoint[1], task, self.checkpoint[0])
        task.to(device).eval()
        return task, task.encoder


def _changed(config: Config, request: DrawRequest) -> Config:
    """The config with other values. Raises InputError where they do not fit together."""
    if not request.changes:
        return config
    changes, _ = respelled(dict(request.changes), "--set")
    values = config.model_dump()
    merge(values, changes, "--set", {})
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(first_error(error, Config, lambda _: "--set, or the run's config")) from None


def _opened_data(config: Config, folder: RunFolder, listed: Path) -> tuple[Plan, Config, dict[str, Catalog]]:
    """The run's own data, and its evaluations: without those on other data where that is not there any more."""
    make_missing(config.dataset)
    config = completed(config)
    catalogs = open_catalogs(config, config.groups, listed)
    catalogs["train"] = train_of_all(catalogs["train"], config, listed)
    if config.debug:
        catalogs = few_videos(catalogs, config, config.batch_size * config.num_iters_grad_accum, config.seed)
    bad_videos = open_bad_videos(config, catalogs, listed)
    own = EvaluationData.of(catalogs, config, bad_videos, folder.features)
    try:
        return plan_evaluations(config, own, listed), config, catalogs
    except InputError as error:
        others = {name: each for name, each in config.evaluations.items() if each is not None and each.data}
        if not others:
            raise
        logger.warning("evaluations on other data have no figures: %s", error)
        less = {name: each for name, each in config.evaluations.items() if name not in others}
        choose_by = None if config.choose_by in others else config.choose_by
        fewer = config.model_copy(update={"evaluations": less, "choose_by": choose_by})
        return plan_evaluations(fewer, own, listed), config, catalogs


def _results(folder: RunFolder) -> list[Result]:
    """What summary.json says; [] where there is none, or it cannot be read: then titles have no scores."""
    try:
        return results_of(json.loads(folder.summary.read_bytes()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("%s cannot be read, so titles have no scores: %s", folder.summary, error)
        return []


class _Lost:
    """Stands where a task would be: whoever asks it for anything is told why there is none."""

    def __init__(self, folder: RunFolder) -> None:
        self._reason = f"it needs {folder.best}, which is gone"

    def __getattr__(self, name: str) -> NoReturn:
        raise InputError(self._reason)
