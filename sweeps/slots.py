"""The places on this machine where runs go side by side: GPUs, or shares of the CPU."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from dataclasses import dataclass, field

from config.errors import InputError

logger = logging.getLogger(__name__)

CPU = "cpu"
_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time."""

    title: str
    variables: dict[str, str] = field(default_factory=dict)
    """What its runs get in their environment, beside the program's own."""


def here() -> list[Slot]:
    """The one slot of a sweep that runs one after another: what main.py finds by itself."""
    return [Slot("this machine")]


def slots_of(given: str) -> list[Slot]:
    """The slots that `--gpus` names, such as `0,1` or `cpu,cpu`; one that is named twice takes two runs at a time.

    The threads of the CPU are shared out between them, unless OMP_NUM_THREADS says how many a run takes.

    Raises:
        InputError: one is neither a number nor `cpu`, or there is no such GPU.
    """
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name != CPU and not name.isdecimal():
            raise InputError(f"--gpus {given}: expected numbers of GPUs or cpu, with commas between, got '{name}'")
    gpus = _gpus() if any(name != CPU for name in names) else None
    slots = []
    for name in names if gpus is not None else [CPU] * len(names):
        if name != CPU and gpus is not None and name not in gpus:
            has = ", ".join(f"{number} ({title})" for number, title in gpus.items())
            raise InputError(f"--gpus {given}: there is no GPU {name}; this machine has {has}")
        visible = "" if name == CPU else name
        title = "the CPU" if name == CPU else f"GPU {name}"
        slots.append(
            Slot(title, _share(len(names)) | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": visible})
        )
    return slots


def shares_of_cpu(count: int) -> list[Slot]:
    """So many slots on the CPU, or on whatever main.py finds, each with its share of the threads."""
    return [Slot(f"share {number + 1} of {count}", _share(count)) for number in range(count)]


def _share(slots: int) -> dict[str, str]:
    if slots == 1 or os.environ.get(_THREADS):
        return {}
    return {_THREADS: str(max(1, len(os.sched_getaffinity(0)) // slots))}


def _gpus() -> dict[str, str] | None:
    """Names of this machine's GPUs by number; None, as the launcher has it, where it has none that can be used."""
    if shutil.which("nvidia-smi") is None:
        logger.warning("this machine has no GPU (no nvidia-smi): running on the CPU")
        return None
    command = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.partition(",") for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode != 0 or not lines:
        said = (answer.stdout + answer.stderr).strip().splitlines()
        logger.warning("no usable GPU (nvidia-smi says: %s): running on the CPU", said[0] if said else "nothing")
        return None
    return {number.strip(): name.strip() for number, _, name in lines}
