"""A copy of an encoder to be trained from end to end, and which of its parameters belong to which level."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from architecture.blocks import Block
from architecture.conditioned_transformer import ConditionedTransformer
from architecture.frame_encoder import FrameEncoder
from architecture.hierarchy import HierarchicalTransformer
from architecture.joint_transformer import JointTransformer
from architecture.vit_blocks import ViTBlock
from config.errors import InputError


def trainable_copy(encoder: nn.Module, level: str, drop_path: float | None) -> nn.Module:
    """A copy through all levels of which gradient goes, whatever the isolation of the encoder.

    Args:
        encoder: left as it is.
        level: whose features will be used.
        drop_path: chance to skip the last block below them; None: as the encoder has it.

    Raises:
        InputError: drop path is asked of a network that has no blocks to skip.
    """
    network = copy.deepcopy(encoder)
    if isinstance(network, HierarchicalTransformer):
        network.isolation, network.interlevel_noise = "end2end", 0.0
    if drop_path is not None:
        _set_drop_path(network, level, drop_path)
    return network


def parameters_of_levels(network: nn.Module, levels: Sequence[str]) -> set[int]:
    """The ids of the parameters of some levels; any level of a network without levels is all of it."""
    if not isinstance(network, HierarchicalTransformer):
        return {id(parameter) for parameter in network.parameters()} if levels else set()
    by_level = network.level_parameters()
    return {id(parameter) for level in levels for parameter in by_level[level]}


def _set_drop_path(network: nn.Module, level: str, rate: float) -> None:
    """Makes units skip the last block below the features of `level` with this chance, block l of L with l / L of it.

    Raises:
        InputError: the network has no blocks to skip.
    """
    if isinstance(network, ConditionedTransformer):
        network = network.joint  # and not its decoder, which the features do not pass
    if isinstance(network, FrameEncoder):
        network = network.network
    if isinstance(network, HierarchicalTransformer | JointTransformer):
        modules = network.modules()
        if isinstance(network, HierarchicalTransformer):
            names = list(network.levels)
            below = names[: names.index(level) + 1] if level in names else []
            modules = (module for name in below for module in network.levels[name].modules())
        blocks = [module for module in modules if isinstance(module, Block | ViTBlock)]
        for number, block in enumerate(blocks, start=1):
            block.skip = rate * number / len(blocks)
        return
    from torchvision.ops import StochasticDepth

    skips = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    if not skips and rate:
        raise InputError("settings.drop_path: this encoder has no blocks that can be skipped; set it to null")
    for number, module in enumerate(skips, start=1):
        module.p = rate * number / len(skips)
