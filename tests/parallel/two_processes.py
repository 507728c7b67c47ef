"""What the tests of several processes start: main.py with a process number each, or this file, which trains cases.

python -m tests.parallel.two_processes CASES OUT: trains every case of a pickled file for a few steps, in as many
processes as the environment says; the first one writes what came of it.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from config.load import restore_config
from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from parallel.group import ALONE, Group, join
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from protocols.encoding import encode_share
from protocols.encoding_in_shares import EncodeRequest
from protocols.window_memory import WindowMemory
from runs.process.seeds import seed_everything
from tasks import build_task
from tasks.encoder import build_hierarchy
from train import StepReport, Trainer, training_loader

ROOT = Path(__file__).resolve().parents[2]
STEPS = 2


@dataclass(frozen=True)
class Trained:
    """A task after a few steps."""

    reports: list[StepReport]
    state: dict[str, Tensor]


@contextmanager
def in_double_precision() -> Iterator[None]:
    """Inside, what the program computes in float32 is computed in float64.

    The first steps of a small network with statistics over a handful of alike vectors make a difference of 1e-7 one of
    a tenth: nobody could tell what two orders of summing make of it from a mistake.
    """
    before = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.Tensor.float = before  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float32)


def train(config: Config, train_split: Catalog, group: Group = ALONE) -> Trained:
    """A few steps of a task from the initial weights of its seed."""
    seed_everything(config.seed)
    task = build_task(config, train_split)
    with closing(training_loader(task, train_split, config, group)) as loader:
        trainer = Trainer(task, config.model_copy(update={"num_epochs": 1}), len(loader), torch.device("cpu"), group)
        reports = []
        for report in trainer.epoch(loader, 0, 0, lambda _failed: None):
            reports.append(report)
            if len(reports) == STEPS:
                break
    return Trained(reports, task.state_dict())


def encoded(values: dict[str, Any], catalog: Catalog, bad_videos: Path) -> EncodedSplit:
    """A split as the initial encoder of a config sees it."""
    config = restore_config(values, "encoding")
    seed_everything(config.seed)
    encoder, bad = build_hierarchy(config), BadVideos(bad_videos, 48, 1.0, "tiny")
    data = EncodedData(encoder, "tiny", {"val": catalog}, config, torch.device("cpu"), bad, WindowMemory(10))
    return data.split("val")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    return {**os.environ, **place, "WORLD_SIZE": str(size), "OMP_NUM_THREADS": "1", "HVT_START_SECONDS": "120"}


def start(
    commands: Sequence[Sequence[str]], folder: Path, changes: Mapping[str, str] | None = None, port: int | None = None
) -> list[subprocess.Popen[str]]:
    """One process for each command, as processes of one group."""
    port = port or free_port()
    return [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(rank, len(commands), port) | dict(changes or {}),
            stdout=(folder / f"out{rank}").open("w"),
            stderr=(folder / f"err{rank}").open("w"),
            text=True,
        )
        for rank, command in enumerate(commands)
    ]


def main(cases: Path, out: Path) -> None:
    """Trains all cases as one of the processes."""
    torch.set_num_threads(1)
    group = join()
    given: dict[str, tuple[dict[str, Any], Catalog, bool]]
    given, (values, split) = pickle.loads(cases.read_bytes())
    found = {}
    for name, (config, catalog, double) in given.items():
        with in_double_precision() if double else nullcontext():
            found[name] = train(restore_config(config, name), catalog, group)
    if group.rank == 0:
        seen = [encoded(values, split, out.with_suffix(".csv")) for _ in range(2)]
        out.write_bytes(pickle.dumps((found, seen)))
    else:
        memory = WindowMemory(10)
        while isinstance(request := group.asked(), EncodeRequest):
            encode_share(request, group, torch.device("cpu"), memory)
    group.leave()


if __name__ == "__main__":
    from tests.parallel import two_processes  # the module that the tests know, by which pickle names its classes

    two_processes.main(Path(sys.argv[1]), Path(sys.argv[2]))
