"""The processes beside the first one: they train with it, encode their shares, and write nothing.

Requests of the first process say what comes next, so that it alone knows what an experiment is: what this file does,
any number of times in any order, is all that several processes ever do together.
"""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from config.curriculum import STEP
from config.errors import InputError
from config.load import LoadedConfig, restore_config
from config.schema import Config
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.same_files import Sizes, check_file_sizes, file_sizes
from parallel.agreement import check_agreement, flat
from parallel.batch_share import equal_parts
from parallel.group import Group, join, joined
from protocols.encoding import encode_share
from protocols.encoding_in_shares import EncodeRequest
from protocols.window_memory import WindowMemory
from runs.folder import RunFolder
from runs.process.determinism import deterministic
from runs.process.ending import ending
from runs.process.seeds import seed_everything
from runs.process.signals import StopRequest
from tasks import build_task
from tasks.task import Task
from train import Trainer, training_loader

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRequest:
    """Begins a training, or a stage of one, from a state."""

    config: dict[str, Any]
    catalog: Catalog
    sizes: Sizes
    """Sizes of the files that the catalog is read from, see `file_sizes`."""
    state: bytes
    """The state of task and trainer, by torch.save."""

    @classmethod
    def of(cls, config: Config, catalog: Catalog, task: Task, trainer: Trainer) -> TrainRequest:
        """A request that can be sent."""
        state = io.BytesIO()
        torch.save({"task": task.state_dict(), "trainer": trainer.state_dict()}, state)
        return cls(config.model_dump(), catalog, file_sizes(catalog), state.getvalue())


@dataclass(frozen=True)
class EpochRequest:
    """Trains on the batches of an epoch, from one of them on, until the first process breaks off."""

    epoch: int
    first_batch: int


@dataclass(frozen=True)
class EndRequest:
    """Ends the other processes."""

    status: int


class Training:
    """A task that is trained here as in the first process, with this process's share of each batch."""

    def __init__(self, request: TrainRequest, group: Group, device: torch.device) -> None:
        check_file_sizes(request.catalog, request.sizes, f"process {group.rank}")
        config = restore_config(request.config, "the first process")
        config = config.model_copy(update={"encoder_checkpoint": None})  # the weights come with the request
        seed_everything(config.seed)
        task = build_task(config, request.catalog).to(device)
        self.loader = training_loader(task, request.catalog, config, group)
        self._trainer = Trainer(task, config, len(self.loader), device, group)
        state = torch.load(io.BytesIO(request.state), map_location="cpu", weights_only=True)
        task.load_state_dict(state["task"])
        self._trainer.load_state_dict(state["trainer"])

    def epoch(self, request: EpochRequest, group: Group, stop: StopRequest) -> None:
        """The steps of the first process, until one of the processes is asked to stop."""
        for _ in self._trainer.epoch(self.loader, request.epoch, request.first_batch, lambda _failed: None):
            if stops(group, stop):
                break


def follow(group: Group, device: torch.device, loaded: LoadedConfig) -> int:
    """Does what the first process asks for, until it says that this is all.

    Args:
        group: the processes.
        device: where to compute.
        loaded: says how much memory there is for windows that are read once.

    Returns:
        The exit status.
    """
    memory = WindowMemory(loaded.config.eval_memory_mb)
    training: Training | None = None
    with deterministic(loaded.config.deterministic), StopRequest(note="") as stop:
        try:
            while True:
                request = group.asked()
                if isinstance(request, EndRequest):
                    group.leave()
                    return request.status
                if isinstance(request, EncodeRequest):
                    encode_share(request, group, device, memory)
                elif isinstance(request, TrainRequest):
                    if training is not None:
                        training.loader.close()
                    training = Training(request, group, device)
                else:
                    assert training is not None
                    training.epoch(request, group, stop)
        finally:
            if training is not None:
                training.loader.close()


def ended_by(error: BaseException, run: RunFolder | None) -> int:
    """Tells why a run ends, once for all of its processes; returns the exit status.

    Raises:
        Exception: `error` itself, where it is unexpected, nothing had been trained, and this is the only process.
    """
    group = joined()
    try:
        status, line = ending(error, run)
    except Exception:
        if group.size == 1:
            raise
        status, line = 1, "".join(traceback.format_exception(error))
    traceback.clear_frames(error.__traceback__)  # they keep the connections open that `failed` closes
    return group.failed(status, line)


def stops(group: Group, stop: StopRequest) -> bool:
    """Whether one of the processes got a signal to stop, in all of them alike; between two steps."""
    stop.signal = group.agreed_signal(stop.signal)
    return stop.requested


def joined_with(loaded: LoadedConfig) -> Group:
    """The processes of a run, once all of them are there and were given the same.

    Raises:
        InputError: see `join` and `check_agreement`; or there are more processes than windows in a batch.
    """
    group = join()
    stages = [stage.config for stage in loaded.stages or (loaded,)]
    for number, config in enumerate(stages, start=1):
        given = flat(config.model_dump(mode="json"), f"{STEP}{number}." if loaded.stages else "")
        check_agreement(group, {"torch": torch.__version__, **given})
        _check_batch(group, config)
    if group.size > 1:
        logger.info(
            "%d processes, %s windows of a batch each",
            group.size,
            " or ".join(map(str, sorted(_shares(group, stages)))),
        )
    return group


def _shares(group: Group, stages: Sequence[Config]) -> set[int]:
    parts = [part for config in stages for part in equal_parts(config.batch_size, group.size)]
    return {part.stop - part.start for part in parts}


def _check_batch(group: Group, config: Config) -> None:
    if config.batch_size < group.size:
        raise InputError(
            f"batch_size={config.batch_size} is less than a window for each of {group.size} processes, among which a "
            "batch is divided; raise batch_size, or start fewer processes"
        )
