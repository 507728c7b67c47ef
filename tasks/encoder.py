"""The encoder that a config describes, for the tasks that train it end to end."""

from __future__ import annotations

from torch import nn

from architecture.video_cnn import FEATURE_DIM, VideoCNN
from config.schema import Config
from tasks.encoder_checkpoint import load_encoder_checkpoint
from tasks.hierarchical import build_hierarchy


def build_encoder(config: Config) -> nn.Module:
    """The encoder, with the weights of `encoder_checkpoint` where there is one.

    Gradient goes through all levels of a hierarchy, whatever `isolation` says.

    Raises:
        InputError: as of `load_encoder_checkpoint`.
    """
    encoder: nn.Module
    if config.encoder == "hierarchical":
        encoder = build_hierarchy(config)
    else:
        encoder = VideoCNN(config.encoder, config.levels[-1], config.batchnorm_momentum)
    load_encoder_checkpoint(encoder, config)
    return encoder


def feature_dim(config: Config, level: str) -> int:
    """Width of the features of `level`, for any encoder."""
    return config.dim(level) if config.encoder == "hierarchical" else FEATURE_DIM[config.encoder]
