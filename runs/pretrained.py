"""Weights from a file, for a network to start from, and what a run says of them: read whole and checked before use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from config.errors import InputError
from runs.checkpoint import check_regular, weights_digest
from runs.written_by import check_written_by

WEIGHTS_FILE = "encoder.safetensors"


def read_weights(path: Path, key: str = "encoder_checkpoint", inside: Sequence[str] = ()) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU: `.safetensors`, or else what torch.save made of a state dict.

    Nothing in the file is executed. A checksum, which `save_encoder` writes, is compared.

    Args:
        path: the file.
        key: what asked for it, for messages.
        inside: keys that lead to the weights, one inside the other, where the file holds more.

    Raises:
        InputError: there is no such file, or it is damaged, or it holds something else, or numbers that are not finite.
    """
    try:
        check_regular(path)
        weights: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise InputError(f"{key}: cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file makes the libraries fail in every way that there is
        raise InputError(f"{key}: {path} is damaged or holds no weights; give another file") from error
    for name in inside:
        if not isinstance(weights, Mapping) or name not in weights:
            known = f" but {', '.join(map(str, weights))}" if isinstance(weights, Mapping) and len(weights) < 20 else ""
            raise InputError(f"{key}_rules: inside: {name}: {path} has no such key{known}")
        weights = weights[name]
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise InputError(f"{key}: {path} holds more than the weights of one network; give another file")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            raise InputError(f"{key}: {name} in {path} has numbers that are not finite; give another file")
    return dict(weights)


def find_encoder(run: Path, key: str) -> Path:
    """The encoder.safetensors that a run folder, its folder `checkpoints`, or the file itself stands for.

    Args:
        run: a folder or a file.
        key: what asked for it, for messages.

    Raises:
        InputError: there is none.
    """
    if run.suffix == ".safetensors" and not run.is_dir():
        return run  # whether it can be read, `read_weights` says
    if not run.exists():
        raise InputError(f"{key}: {run} does not exist; give the folder of a run, or its encoder.safetensors")
    for path in (run / "checkpoints" / WEIGHTS_FILE, run / WEIGHTS_FILE):
        if path.exists():
            return path
    what = "is the folder of no run that has ended" if run.is_dir() else f"is not called {WEIGHTS_FILE}"
    raise InputError(f"{key}: {run} {what}; a run leaves checkpoints/{WEIGHTS_FILE} at its end")


def read_description(weights: Path, key: str) -> dict[str, Any]:
    """Reads what `save_encoder` wrote beside the weights: the run's config, and the step of the weights.

    Args:
        weights: the encoder.safetensors.
        key: what asked for it, for messages.

    Raises:
        InputError: the file is missing, damaged, holds something else, or a newer version of the program wrote it.
    """
    path = weights.with_suffix(".json")
    try:
        check_regular(path)
        description = json.loads(path.read_bytes())
    except OSError as error:
        advice = "it lies beside the weights in a run's folder"
        raise InputError(f"{key}: cannot read {path}: {error.strerror or error}; {advice}") from error
    except ValueError as error:
        raise InputError(f"{key}: {path} is damaged; copy it from the run's folder again") from error
    if not isinstance(description, dict) or not isinstance(description.get("config"), dict):
        raise InputError(f"{key}: {path} does not describe the encoder of a run")
    check_written_by(description, path)
    return description


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Raises ValueError where the file has a checksum that it does not fit."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
        expected = (file.metadata() or {}).get("sha256")
    if expected is not None and expected != weights_digest(weights):
        raise ValueError("the checksum does not fit")
    return weights


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], path: Path, key: str = "encoder_checkpoint"
) -> None:
    """Puts all of `weights` into `network`, or none.

    Args:
        network: takes them, every one in its place.
        weights: its state dict; the batch counters of BatchNorm, which old files lack, may be missing.
        path: where they come from, for messages.
        key: what asked for them, for messages.

    Raises:
        InputError: see `check_weights`.
    """
    check_weights(network, weights, path, key)
    network.load_state_dict({**network.state_dict(), **weights})


def check_weights(
    network: nn.Module, weights: Mapping[str, Tensor], path: Path, key: str = "encoder_checkpoint"
) -> None:
    """Refuses weights that are not those of `network`, whose own do not matter; arguments as for `load_weights`.

    Raises:
        InputError: a name is missing or unknown, or a shape is another one.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in weights and not name.endswith(".num_batches_tracked")]
    unknown = [name for name in weights if name not in expected]
    other = [name for name in weights if name in expected and weights[name].shape != expected[name].shape]
    advice = "encoder and architecture must be those of the file"
    if missing:
        raise InputError(f"{key}: {path} lacks {_named(missing)}; {advice}")
    if unknown:
        raise InputError(f"{key}: the encoder has no {_named(unknown)}, which {path} holds; {advice}")
    if other:
        found, wanted = (list(tensors[other[0]].shape) for tensors in (weights, expected))
        raise InputError(f"{key}: {_named(other)} is {found} in {path}, not {wanted}; {advice}")


def _named(names: list[str]) -> str:
    """The first name, and how many others there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
