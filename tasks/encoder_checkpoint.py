"""Where an encoder starts from: the file that `encoder_checkpoint` names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from architecture.torchvision_networks import TorchvisionNetwork
from config.errors import InputError
from config.places import place
from config.schema import Config
from config.surgery import CheckpointRule
from runs.pretrained import check_weights, load_weights, read_weights
from runs.surgery import operated

logger = logging.getLogger(__name__)

_KEY = "encoder_checkpoint"  # what messages begin with


def load_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Gives `encoder` the weights that `encoder_checkpoint` names; null leaves it as it is.

    A file that ends in .safetensors is a run's encoder.safetensors. Any other is one of torchvision's, for its
    networks alone; the classifier in it is left out.

    Raises:
        InputError: the file cannot be read, or is not of this encoder.
    """
    if config.encoder_checkpoint is not None:
        path = place(config.encoder_checkpoint, _KEY)
        load_file(encoder, path, _KEY, config.encoder_checkpoint_rules)


def load_file(encoder: nn.Module, path: Path, key: str, rules: Sequence[CheckpointRule] = ()) -> None:
    """Gives `encoder` the weights of a file, see `load_encoder_checkpoint`.

    Args:
        encoder: takes them.
        path: the file.
        key: what asked for it, for messages.
        rules: what its names become; what each has found is logged.

    Raises:
        InputError: the file cannot be read, or is not of this encoder, or a rule matches nothing.
    """
    network, weights, report = _read(encoder, path, key, rules)
    for line in report:
        logger.info("%s: %s", path, line)
    load_weights(network, weights, path, key)


def check_encoder_checkpoint(encoder: nn.Module, config: Config) -> None:
    """Raises InputError where `load_encoder_checkpoint` will; the weights of `encoder` do not matter."""
    if config.encoder_checkpoint is not None:
        path = place(config.encoder_checkpoint, _KEY)
        network, weights, _ = _read(encoder, path, _KEY, config.encoder_checkpoint_rules)
        check_weights(network, weights, path)


def _read(
    encoder: nn.Module, path: Path, key: str, rules: Sequence[CheckpointRule]
) -> tuple[nn.Module, dict[str, Tensor], list[str]]:
    """The part of an encoder that a file has the weights of, these weights, and what each rule has found."""
    if rules:
        weights = read_weights(path, key, [rule.inside for rule in rules if rule.inside is not None])
        return encoder, *operated(weights, rules, path, key)
    weights = read_weights(path, key)
    if path.suffix == ".safetensors":
        return encoder, weights, []
    if isinstance(encoder, TorchvisionNetwork):
        classifier = f"{encoder.classifier_name}."
        left = {name: tensor for name, tensor in weights.items() if not name.startswith(classifier)}
        return encoder.network, left, []
    raise InputError(
        f"{key}: a hierarchical or joint encoder starts from a run's encoder.safetensors, not from {path}; of other "
        f"files, {key}_rules says what their names become"
    )
