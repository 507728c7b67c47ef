"""Where an encoder starts from: the file that `encoder_checkpoint` names."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from architecture.torchvision_networks import TorchvisionNetwork
from config.errors import InputError
from config.places import place
from config.schema import Config
from runs.pretrained import check_weights, load_weights, read_weights

_KEY = "encoder_checkpoint"  # what messages begin with


def load_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Gives `encoder` the weights that `encoder_checkpoint` names; null leaves it as it is.

    A file that ends in .safetensors is a run's encoder.safetensors. Any other is one of torchvision's, for its
    networks alone; the classifier in it is left out.

    Raises:
        InputError: the file cannot be read, or is not of this encoder.
    """
    if config.encoder_checkpoint is not None:
        load_file(encoder, place(config.encoder_checkpoint, _KEY), _KEY)


def load_file(encoder: nn.Module, path: Path, key: str) -> None:
    """Gives `encoder` the weights of a file, see `load_encoder_checkpoint`.

    Args:
        encoder: takes them.
        path: the file.
        key: what asked for it, for messages.

    Raises:
        InputError: the file cannot be read, or is not of this encoder.
    """
    load_weights(*_read(encoder, path, key), path, key)


def check_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Raises InputError where `load_encoder_checkpoint` will; the weights of `encoder` do not matter."""
    if config.encoder_checkpoint is not None:
        path = place(config.encoder_checkpoint, _KEY)
        check_weights(*_read(encoder, path, _KEY), path)


def _read(encoder: nn.Module, path: Path, key: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """The part of an encoder that a file has the weights of, and these weights."""
    weights = read_weights(path, key)
    if path.suffix == ".safetensors":
        return encoder, weights
    if isinstance(encoder, TorchvisionNetwork):
        classifier = f"{encoder.classifier_name}."
        return encoder.network, {name: tensor for name, tensor in weights.items() if not name.startswith(classifier)}
    raise InputError(f"{key}: a hierarchical or joint encoder starts from a run's encoder.safetensors, not from {path}")
