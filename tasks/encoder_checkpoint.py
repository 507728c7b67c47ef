"""Where an encoder starts from: the file that `encoder_checkpoint` names."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from architecture.torchvision_networks import TorchvisionNetwork
from config.errors import InputError
from config.places import place
from config.schema import Config
from runs.pretrained import load_weights, read_weights


def load_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Gives `encoder` the weights that `encoder_checkpoint` names; null leaves it as it is.

    A file that ends in .safetensors is a run's encoder.safetensors. Any other is one of torchvision's, for its
    networks alone; the classifier in it is left out.

    Raises:
        InputError: the file cannot be read, or is not of this encoder.
    """
    if config.encoder_checkpoint is None:
        return
    load_file(encoder, place(config.encoder_checkpoint, "encoder_checkpoint"), "encoder_checkpoint")


def load_file(encoder: nn.Module, path: Path, key: str) -> None:
    """Gives `encoder` the weights of a file, see `load_encoder_checkpoint`.

    Args:
        encoder: takes them.
        path: the file.
        key: what asked for it, for messages.

    Raises:
        InputError: the file cannot be read, or is not of this encoder.
    """
    weights = read_weights(path, key)
    if path.suffix == ".safetensors":
        load_weights(encoder, weights, path, key)
    elif isinstance(encoder, TorchvisionNetwork):
        classifier = f"{encoder.classifier_name}."
        kept = {name: tensor for name, tensor in weights.items() if not name.startswith(classifier)}
        load_weights(encoder.network, kept, path, key)
    else:
        raise InputError(f"{key}: a hierarchical encoder starts from a run's encoder.safetensors, not from {path}")
