"""The encoder that a config describes, with new weights or with those of a file."""

from __future__ import annotations

from typing import Any

from architecture.hierarchy import HierarchicalTransformer
from architecture.stem import build_stem
from architecture.video_cnn import FEATURE_DIM, VideoCNN
from config.schema import Config
from tasks.encoder_checkpoint import load_encoder_checkpoint

Network = HierarchicalTransformer | VideoCNN
"""What is trained: takes normalised windows, gives features and tokens (`Encoder` without knowing its inputs)."""


def build_hierarchy(config: Config, *, next_token: bool) -> HierarchicalTransformer:
    """The hierarchy that `config` describes, with new weights.

    Args:
        config: the whole config.
        next_token: whether the states of causal levels learn by predicting the next token; it decides which of them is
            the summary, see `Level`.
    """
    levels: dict[str, dict[str, Any]] = {
        name: config.level(name).model_dump(exclude={"pred_h_dim", "weight_init"})
        | {"position_embedding": config.position_embedding}
        for name in config.geometry.joining
    }
    stem_dim = config.dim("backbone")
    return HierarchicalTransformer(
        levels,
        geometry=config.geometry,
        stem=build_stem(config.stem, config.patch_size, stem_dim, config.temporal_stem, config.batchnorm_momentum),
        stem_dim=stem_dim,
        weight_init={name: config.weight_init(name) for name in ("backbone", *levels)},
        next_token=next_token,
        isolation=config.isolation,
        interlevel_noise=config.interlevel_noise,
        output_batchnorm=config.output_batchnorm,
        batchnorm_momentum=config.batchnorm_momentum,
    )


def build_network(config: Config, *, next_token: bool = False) -> Network:
    """The network that `config` describes, with new weights, for training end to end.

    Gradient goes through all levels of a hierarchy, whatever `isolation` says.

    Args:
        config: the whole config.
        next_token: see `build_hierarchy`.
    """
    if config.encoder == "hierarchical":
        return build_hierarchy(config.model_copy(update={"isolation": "end2end"}), next_token=next_token)
    return VideoCNN(config.encoder, config.levels[-1], config.batchnorm_momentum)


def build_encoder(config: Config) -> Network:
    """As `build_network`, with the weights of `encoder_checkpoint` where there is one.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """
    network = build_network(config)
    load_encoder_checkpoint(network, config)
    return network


def feature_dim(config: Config, level: str) -> int:
    """Width of the features of `level`, for any encoder."""
    return config.dim(level) if config.encoder == "hierarchical" else FEATURE_DIM[config.encoder]
