"""Where an encoder starts from: the file that `encoder_checkpoint` names."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from architecture.video_cnn import VideoCNN
from config.errors import InputError
from config.places import place
from config.schema import Config
from runs.pretrained import check_weights, load_weights, read_weights


def load_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Gives `encoder` the weights that `encoder_checkpoint` names; null leaves it as it is.

    A file that ends in .safetensors is a run's encoder.safetensors. Any other is one of torchvision's, for its
    networks alone; the classifier in it is left out.

    Raises:
        InputError: the file cannot be read, or is not of this encoder.
    """
    if config.encoder_checkpoint is not None:
        load_weights(*_read(encoder, config.encoder_checkpoint))


def check_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Raises InputError where `load_encoder_checkpoint` will; the weights of `encoder` do not matter."""
    if config.encoder_checkpoint is not None:
        check_weights(*_read(encoder, config.encoder_checkpoint))


def _read(encoder: nn.Module, given: str) -> tuple[nn.Module, dict[str, Tensor], Path]:
    """The part of an encoder that a file has the weights of, these weights, and the file."""
    path = place(given, "encoder_checkpoint")
    weights = read_weights(path)
    if path.suffix == ".safetensors":
        return encoder, weights, path
    if isinstance(encoder, VideoCNN):
        classifier = f"{encoder.classifier_name}."
        kept = {name: tensor for name, tensor in weights.items() if not name.startswith(classifier)}
        return encoder.network, kept, path
    raise InputError(
        f"encoder_checkpoint: a hierarchical encoder starts from a run's encoder.safetensors, not from {path}"
    )
