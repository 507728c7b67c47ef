"""A kill or a full disk in the middle of a save leaves no usable checkpoint, and days of training are lost.

So every file here is written through `atomic_write`: the previous checkpoint stays until the new one is whole.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from config.errors import InputError
from runs.atomic import atomic_write, write_json


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write `state` to `path`, atomically.

    Args:
        state: tensors and plain Python values, nested in dicts, lists and tuples (`load_checkpoint` reads no others).
        path: the file, by convention `last.pt` or `best.pt`.

    Raises:
        InputError: the disk is full or the folder cannot be written; the previous file is intact.
    """
    with atomic_write(path) as file:
        torch.save(state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, with all tensors on the CPU. Nothing in the file is executed.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"checkpoint {path} is damaged or no checkpoint; remove it and use another one") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} holds a {type(state).__name__}, not the checkpoint of a run")
    return state


def save_encoder(state_dict: Mapping[str, Tensor], description: Mapping[str, Any], folder: Path) -> Path:
    """Write `encoder.safetensors` (the weights) and `encoder.json` (what is needed to build the module around them).

    Args:
        state_dict: the encoder's weights; tensors that share memory are stored once each.
        description: values that JSON can hold.
        folder: the run's `checkpoints` folder.

    Returns:
        The path of the weights.

    Raises:
        InputError: a file cannot be written; neither file is ever half there.
    """
    # clone(): safetensors refuses tensors that share memory, which tied weights do.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    path = folder / "encoder.safetensors"
    with atomic_write(path) as file:
        file.write(save(weights))
    write_json(folder / "encoder.json", description)
    return path
