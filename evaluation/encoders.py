"""The encoders that eval.py scores: those of runs, finished or not, of files, and torchvision's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from config.errors import InputError
from config.load import restore_config
from config.places import place
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from evaluation.request import CHECKPOINTS
from evaluation.torchvision_encoders import NAMES, split_name, torchvision_config, torchvision_network
from runs.folder import RunFolder
from runs.further_datasets import train_of_all
from runs.pretrained import WEIGHTS_FILE
from runs.process.seeds import seed_everything
from runs.resuming import load_weights_of, read_checkpoint
from tasks import build_task
from tasks.encoder import build_network
from tasks.pretrained import load_encoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredEncoder:
    """An encoder to score, on the CPU."""

    name: str
    """For tables and messages."""
    config: Config
    """What it was trained with."""
    network: nn.Module
    """From normalised windows to features and tokens."""
    classifier: nn.Module | None
    """That the run has trained, from the last level's features."""
    folder: Path | None
    """The run's; None: the network is not of a run."""
    what: str
    """Which weights these are, in words."""

    def at_init(self) -> nn.Module:
        """The same network with the random weights that the run's seed gives: the floor."""
        seed_everything(self.config.seed)
        return build_network(self.config.model_copy(update={"encoder_checkpoint": None}))


def open_encoder(given: str, checkpoint: str, data: Mapping[str, Any]) -> ScoredEncoder:
    """The encoder that a command line names.

    Args:
        given: a run's folder, an encoder.safetensors, or a network of torchvision, as `NAME` or `NAME:FILE`.
        checkpoint: `best`, `last`, or the path of a checkpoint of that run.
        data: keys of data_config.yaml that it will be scored with, for a network that has no config of its own.

    Raises:
        InputError: there is no such encoder, or a file of it cannot be read.
    """
    of_torchvision = split_name(given)
    path = place(given, "RUN")
    if of_torchvision is None and not path.exists():
        known = ", ".join(NAMES)
        raise InputError(
            f"{given} does not exist; give the folder of a run, its encoder.safetensors, or a network of torchvision: "
            f"{known}"
        )
    if of_torchvision is not None and checkpoint != "best":
        raise InputError(f"--checkpoint {checkpoint}: {given} is no run; {of_torchvision[0]}:FILE names other weights")
    if of_torchvision is not None:
        return _of_torchvision(*of_torchvision, data)
    if not path.is_dir() and checkpoint != "best":
        raise InputError(f"--checkpoint {checkpoint}: {given} is a file of weights, which has no other checkpoints")
    run = RunFolder(path)
    finished = not path.is_dir() or any((folder / WEIGHTS_FILE).is_file() for folder in (run.checkpoints, run.root))
    if checkpoint == "best" and (finished or not run.best.is_file()):
        found = _of_file(path)
        has_classifier = found.config.task_settings.learns_classes and not data and run.best.is_file()
        return _of_checkpoint(run, checkpoint, finished) if has_classifier else found
    return _of_checkpoint(run, checkpoint, finished)


def _of_torchvision(name: str, file: str | None, data: Mapping[str, Any]) -> ScoredEncoder:
    if not data:
        raise InputError(f"{name} was trained by no run whose data it could be scored on: name some with --dataset")
    config = torchvision_config(name, file, data)
    called = name if file is None else f"{name}-{Path(file).stem}"
    what = "torchvision's weights" if file is None else file
    return ScoredEncoder(called, config, torchvision_network(config), None, None, what)


def _of_file(path: Path) -> ScoredEncoder:
    encoder = load_encoder(path)
    folder = path if path.is_dir() else None
    name = path.name if path.is_dir() else path.parent.parent.name if path.parent.name == "checkpoints" else path.stem
    return ScoredEncoder(name, encoder.config, encoder.network, None, folder, str(path))


def _of_checkpoint(run: RunFolder, checkpoint: str, finished: bool) -> ScoredEncoder:
    path = {"best": run.best, "last": run.last}.get(checkpoint) or place(checkpoint, "--checkpoint")
    if not path.is_file():
        known = ", ".join(CHECKPOINTS)
        raise InputError(f"--checkpoint {checkpoint}: there is no {path}; {known} or the path of a checkpoint will do")
    content = read_checkpoint(path)
    config = restore_config(content["config"], str(path))
    if checkpoint == "best" and not finished:
        logger.warning("%s has not ended: these are the best weights so far, of step %d", run.root, _step(content))
    with TemporaryDirectory() as folder:  # the run's list of bad videos stays as it is
        listed = Path(folder) / "bad_videos.csv"
        train = train_of_all(open_catalogs(config, config.groups, listed)["train"], config, listed)
    task = build_task(config.model_copy(update={"encoder_checkpoint": None}), train)
    load_weights_of(content, task, path)
    what = f"step {_step(content)} ({path})"
    return ScoredEncoder(run.root.resolve().name, config, task.encoder, task.classifier, run.root, what)


def _step(checkpoint: Mapping[str, Any]) -> int:
    """The optimizer steps that its weights have seen; of a curriculum, in all stages."""
    history = checkpoint["history"]
    return int(history.get("first_step", 0)) + int(history["step"])
