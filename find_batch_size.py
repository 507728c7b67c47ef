"""`find_batch_size`: the largest batch that fits, found by real steps on copies of the task before it trains."""

from __future__ import annotations

import copy
import gc
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import torch

from config.errors import InputError
from config.load import LoadedConfig, render_config
from config.schema import Config
from data_utils.batches.loader import Batch, Loader
from experiment import Experiment
from parallel.group import joined
from runs.process.atomic import write_text
from runs.process.device_errors import is_out_of_memory
from runs.process.free_memory import free_memory
from runs.process.peak_memory import PeakMemory
from tasks.task import Task
from train import Trainer, training_loader

logger = logging.getLogger(__name__)

_ORIGIN = "find_batch_size"  # of the value, in config.yaml
_STEPS = 2  # of a trial: the first one makes the optimizers' state, which the second one finds there
# Of the memory that is free: validation, readers, and blocks that do not fit into each other's places need some, too.
_SHARE = 0.8
_FINE = 16  # the size is found to a part in so many


def keep_found_sizes(stages: Sequence[LoadedConfig], first: int, checkpoint: Mapping[str, Any]) -> list[LoadedConfig]:
    """The stages of a run that goes on: the one that a checkpoint was taken in trains with the size found for it."""
    kept, stage = list(stages), stages[first]
    found = checkpoint["config"].get("find_batch_size")
    if stage.config.find_batch_size and found:
        kept[first] = stage.changed(_ORIGIN, batch_size=checkpoint["config"]["batch_size"])
    return kept


def with_batch_size_that_fits(experiment: Experiment, task: Task) -> Experiment:
    """The experiment with the largest `batch_size` that fits, where its config asks for that.

    Of several processes, the first one looks for the largest share of a batch that fits.

    The run's config.yaml has the number, too, where the run has no stages. The task, and the random numbers of the
    process, stay as they are.

    Args:
        experiment: of a training that begins.
        task: that will train; on its device.

    Raises:
        InputError: not even one window fits.
    """
    config = experiment.config
    if not config.find_batch_size:
        return experiment
    devices = [experiment.device] if experiment.device.type == "cuda" else []
    processes = joined().size
    with torch.random.fork_rng(devices=devices):
        batch, windows = _first_windows(experiment, task)
        trials = Trials(task, config, batch, windows // processes, experiment.device, processes)
        share = largest(trials.fits, math.ceil(config.batch_size / processes), trials.most)
    if not share:
        raise InputError(
            f"find_batch_size: the memory that is free ({_megabytes(trials.limit)}) does not take a step with a single "
            "window; a smaller frame_size or window.length takes less"
        )
    found = share * processes
    logger.info(
        "find_batch_size: batch_size=%d (%s) is the largest that fits into %s, %s; optimizer.lr stays %g",
        found,
        f"{_megabytes(taken)} beside the model" if (taken := trials.taken.get(share)) else "not measured",
        _megabytes(trials.limit),
        "all windows of an epoch" if share == trials.most else f"to a part in {_FINE}",
        config.optimizer.lr,
    )
    loaded = experiment.loaded.changed(_ORIGIN, batch_size=found)
    if config.stage is None:
        write_text(experiment.run.config, render_config(loaded))
    return replace(experiment, loaded=loaded)


def largest(fits: Callable[[int], bool], start: int, most: int) -> int:
    """The largest size that fits, to a part in 16; 0 where none does.

    Args:
        fits: whether a size does; what is smaller than one that fits is taken to fit, too.
        start: is tried first; from there the size is doubled, or halved, until what lies between is bisected.
        most: no size is larger.
    """
    low, high = 0, most + 1  # `low` fits, `high` does not
    size = min(start, most)
    while low == 0 and size:
        if fits(size):
            low = size
        else:
            high, size = size, size // 2
    while low and high == most + 1 and low < most:
        size = min(2 * low, most)
        if fits(size):
            low = size
        else:
            high = size
    while low and high - low > max(1, low // _FINE):
        size = (low + high) // 2
        if fits(size):
            low = size
        else:
            high = size
    return low


class Trials:
    """Steps of training, whose memory is measured, on copies of a task.

    Args:
        task: stays as it is.
        config: of the training.
        batch: windows that a batch of any size is filled up with.
        most: windows of an epoch, or of a process's share in it.
        device: that computes.
        processes: of the run; on a CPU they divide its memory.
    """

    def __init__(
        self, task: Task, config: Config, batch: Batch, most: int, device: torch.device, processes: int = 1
    ) -> None:
        self.task, self.batch, self.most, self.device = task, batch, most, device
        # All levels at once, which no step of a training that takes turns exceeds.
        turns = {"alternating_interval": None, "explicit_freeze": False, "always_compute_loss": False}
        self._config = config.model_copy(update={"num_iters_grad_accum": 1, "num_epochs": 1, **turns})
        self.limit = int(_SHARE * free_memory(device) / (1 if device.type == "cuda" else processes))
        self.taken: dict[int, int | None] = {}
        """Bytes by size, of those that were tried and could be measured."""

    def fits(self, size: int) -> bool:
        """Whether a step with so many windows does not take more than there is."""
        expected = self._expected(size)
        # A GPU refuses what it does not have. Linux lends it and kills: there, what cannot fit must not be tried.
        if self.device.type != "cuda" and expected is not None and expected > self.limit:
            logger.info("find_batch_size: %d windows would take about %s", size, _megabytes(expected))
            return False
        try:
            taken = self._step(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            taken, fits = None, False
        else:
            fits = taken is None or taken <= self.limit
            self.taken[size] = taken
        self._clean_up()
        measured = "" if taken is None else f" take {_megabytes(taken)} and"
        logger.info("find_batch_size: %d windows%s %s", size, measured, "fit" if fits else "do not fit")
        return fits

    def _step(self, size: int) -> int | None:
        """The bytes that steps with `size` windows take beside the copy of the task; None where that is not known."""
        task = copy.deepcopy(self.task)
        config = self._config.model_copy(update={"batch_size": size})
        trainer, peak = Trainer(task, config, _STEPS, self.device), PeakMemory(self.device)
        peak.start()
        for _ in trainer.epoch(cast("Loader", _Filled(self.batch, size)), 0, 0, lambda _: None):
            pass
        return peak.bytes()

    def _expected(self, size: int) -> float | None:
        """What a size should take by those that were tried; None where fewer than two were."""
        known = sorted((tried, taken) for tried, taken in self.taken.items() if taken)
        if not known:
            return None
        (large, most), (small, least) = known[-1], known[-2] if len(known) > 1 else (0, 0)
        return most + (most - least) / (large - small) * (size - large)

    def _clean_up(self) -> None:
        """Gives back what a trial has left: errors keep their frames, and modules refer to each other."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _Filled:
    """A loader of batches of one size, made of the windows of another batch."""

    def __init__(self, batch: Batch, size: int) -> None:
        self._batch, self._size = batch, size

    def epoch(self, _epoch: int, _first_batch: int = 0) -> Iterator[Batch]:
        """The batches of a trial."""
        numbers = torch.arange(self._size) % len(self._batch.row_B)
        for number in range(_STEPS):
            yield replace(_chosen(self._batch, numbers), number=number)


def _chosen(batch: Batch, numbers_B: torch.Tensor) -> Batch:
    """The windows of these numbers."""
    return Batch(
        batch.video_BTCHW[numbers_B],
        batch.row_B[numbers_B],
        batch.frames_BT[numbers_B],
        failed=[],
        other=batch.other and _chosen(batch.other, numbers_B),
    )


def _first_windows(experiment: Experiment, task: Task) -> tuple[Batch, int]:
    """A few training windows that can be read, and how many an epoch has.

    Raises:
        InputError: none can be read.
    """
    config = experiment.config.model_copy(update={"num_workers": 0})
    config = config.model_copy(update={"batch_size": min(config.batch_size, 16)})
    with closing(training_loader(task, experiment.catalogs["train"], config)) as batches:
        for batch in batches.epoch(0):
            if len(batch.row_B):
                return batch, batches.windows
    raise InputError("find_batch_size: no training video can be read")


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"
