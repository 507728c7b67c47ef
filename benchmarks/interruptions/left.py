"""What a run leaves, as it is compared with what another one has left: everything but times."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder

_TIMES = {"seconds", "data_wait", "wall_seconds", "step_seconds", "windows_per_second", "frames_per_second"}
# A name by chance, and what depends on the start.
_OTHERS = {"run", "command", "commit", "peak_memory_mb", "device"}


def left_by(root: Path, data: Path, order: Path) -> dict[str, Any]:
    """By what it is: all that must be the same, however often a run was interrupted.

    Args:
        root: the run's folder.
        data: of its dataset.
        order: what `program.py` has noted.
    """
    run = RunFolder(root)
    checkpoints = {path.name: _plain(load_checkpoint(path)) for path in sorted(run.checkpoints.glob("*.pt"))}
    return {
        "weights": (run.checkpoints / "encoder.safetensors").read_bytes(),
        "checkpoints": checkpoints,
        "metrics": [_plain(json.loads(line)) for line in run.metrics.read_text().splitlines()],
        "scores": _plain(json.loads(run.summary.read_text())),
        "order of data": _order(order),
        "files": sorted(str(path.relative_to(root)) for path in root.rglob("*")),
        "data": {str(path.relative_to(data)): path.read_bytes() for path in sorted(data.rglob("*.mp4"))},
    }


def _order(file: Path) -> dict[str, Any]:
    """By epoch and batch, the rows that it held; every time that it was trained on, if it was not the same ones."""
    seen: dict[str, list[Any]] = {}
    for line in file.read_text().splitlines():
        epoch, number, rows = json.loads(line)
        held = seen.setdefault(f"{epoch}:{number}", [])
        if rows not in held:
            held.append(rows)
    return dict(sorted(seen.items()))


def _plain(value: Any) -> Any:
    """The value without times, with tensors as bytes, so that `==` compares it bit by bit."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if key not in _TIMES | _OTHERS}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous()
        return str(array.dtype), tuple(array.shape), np.asarray(array.reshape(-1).view(torch.uint8)).tobytes()
    if isinstance(value, float) and math.isnan(value):
        return "nan"  # which is not equal to itself
    return value


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two values differ, as dotted names; of lists, the first item that does."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())
        return [found for name in names for found in differences(one.get(name), other.get(name), f"{place}.{name}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [differences(*pair, f"{place}.{number}") for number, pair in enumerate(zip(one, other, strict=True))]
        return next((part for part in parts if part), [])
    return [] if one == other else [place.lstrip(".")]
