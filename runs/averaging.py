"""The plain mean of the weights of several encoders of one form, as an encoder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from config.errors import InputError
from runs.checkpoint import save_encoder
from runs.pretrained import find_encoder, read_description, read_weights

_KEY = "average"  # what messages begin with


def require_same_form(one: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> None:
    """Raises InputError where two encoders have other tensors, or such of other shapes; `what` names the second."""
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            raise InputError(f"{what} {'has' if name in other else 'lacks'} {name}: it is another network")
        if one[name].shape != other[name].shape:
            found, wanted = list(other[name].shape), list(one[name].shape)
            raise InputError(f"{name} is {found} in {what}, not {wanted}: it is another network")


def mean_of(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, computed in float64; what counts batches is that of the first."""
    mean = {}
    for name, first in states[0].items():
        if not first.is_floating_point():
            mean[name] = first.clone()
            continue
        mean[name] = torch.stack([state[name].double() for state in states]).mean(dim=0).to(first.dtype)
    return mean


def write_average(runs: Sequence[Path], out: Path) -> Path:
    """Writes the mean of encoders into `out/checkpoints`, from where all programs read it as they read a run's.

    Args:
        runs: folders, or files encoder.safetensors, two at least.
        out: a folder that does not exist yet, or is empty.

    Returns:
        The file of the weights.

    Raises:
        InputError: there are too few, one cannot be read or has another form, or `out` holds something.
    """
    if len(runs) < 2:
        raise InputError(f"{_KEY}: give two runs at least")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: it holds something already; give another folder")
    files = [find_encoder(run, _KEY) for run in runs]
    descriptions = [read_description(file, _KEY) for file in files]
    states = [read_weights(file, _KEY) for file in files]
    for file, state in zip(files[1:], states[1:], strict=True):
        require_same_form(states[0], state, f"{_KEY}: {file}")
    folder = out / "checkpoints"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}") from error
    return save_encoder(mean_of(states), descriptions[0] | {"mean_of": [str(file) for file in files]}, folder)
