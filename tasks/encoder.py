"""The encoder that a config describes, with new weights or with those of a file."""

from __future__ import annotations

import logging
from typing import Any, cast

import torch

from architecture.conditioned_transformer import ConditionedTransformer
from architecture.frame_encoder import RESNET_DIM, FrameEncoder, FrameResNet
from architecture.hierarchy import HierarchicalTransformer
from architecture.joint_transformer import JointTransformer
from architecture.stem import build_stem
from architecture.torchvision_networks import FEATURE_DIM, TorchvisionNetwork
from config.schema import Config
from tasks.encoder_checkpoint import check_encoder_checkpoint, load_encoder_checkpoint
from tasks.encoder_settings import HierarchySettings
from tasks.joint_settings import JointSettings

logger = logging.getLogger(__name__)

Network = HierarchicalTransformer | JointTransformer | TorchvisionNetwork | FrameEncoder | ConditionedTransformer
"""What is trained, from normalised windows to features and tokens (an `Encoder` without its `inputs`)."""


def build_hierarchy(config: Config, isolation: str = "end2end") -> HierarchicalTransformer:
    """The hierarchy that `config` describes, with new weights.

    Args:
        config: the whole config.
        isolation: how gradient crosses levels, which changes nothing else; see `HierarchicalTransformer`.
    """
    numbers = config.section(HierarchySettings)
    if numbers.temporal_stem:
        logger.warning(
            "hierarchy.temporal_stem: frames see their neighbours before any level joins them, so predicting one from "
            "another is easier than it looks; hierarchy.temporal_stem=false does not leak"
        )
    patch_size, stem_dim = numbers.patch_size, config.dim("backbone")
    levels: dict[str, dict[str, Any]] = {
        name: config.level(name).model_dump(exclude={"pred_h_dim", "weight_init"})
        | {"position_embedding": numbers.position_embedding}
        for name in config.geometry.joining
    }
    return HierarchicalTransformer(
        levels,
        geometry=config.geometry,
        stem=build_stem(
            numbers.stem,
            patch_size,
            stem_dim,
            numbers.temporal_stem,
            config.batchnorm_momentum,
            numbers.backbone.checkpointing,
        ),
        stem_dim=stem_dim,
        weight_init={name: config.weight_init(name) for name in ("backbone", *levels)},
        next_token=config.task_settings.predicts_next_token,
        isolation=isolation,
        interlevel_noise=numbers.interlevel_noise,
        output_batchnorm=numbers.output_batchnorm,
        batchnorm_momentum=config.batchnorm_momentum,
    )


def build_joint(config: Config) -> JointTransformer:
    """The joint space-time transformer that `config` describes, with new weights."""
    height, width = config.frame_size
    numbers = config.section(JointSettings).model_dump()
    return JointTransformer(config.levels[-1], frames=config.window.length, frame_size=(height, width), **numbers)


def build_network(config: Config) -> Network:
    """The network that `config` describes, with new weights, for training end to end."""
    if config.encoder == "hierarchical":
        return build_hierarchy(config)
    if config.encoder == "joint":
        return cast(Network, config.task_settings.around(build_joint(config), config))
    if config.encoder == "resnet50":
        return FrameEncoder(FrameResNet(config.levels[-1], config.batchnorm_momentum), RESNET_DIM)
    return TorchvisionNetwork(config.encoder, config.levels[-1], config.batchnorm_momentum)


def build_encoder(config: Config) -> Network:
    """The network of `build_network`, with the weights of `encoder_checkpoint` if there is one.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """
    network = build_network(config)
    load_encoder_checkpoint(network, config)
    return network


def check_start(config: Config) -> None:
    """Looks whether the encoder can start from `encoder_checkpoint`, before anything that takes long.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """
    config.task_settings.check_start(config)
    if config.encoder_checkpoint is not None:
        with torch.device("meta"):  # shapes, without numbers
            network = build_network(config)
        check_encoder_checkpoint(network, config)


def feature_dim(config: Config, level: str) -> int:
    """Width of the features of `level`, for any encoder."""
    if config.encoder == "hierarchical":
        return config.dim(level)
    if config.encoder == "resnet50":
        return RESNET_DIM
    return config.section(JointSettings).dim if config.encoder == "joint" else FEATURE_DIM[config.encoder]
