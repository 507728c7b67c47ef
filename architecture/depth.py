"""The layers of an encoder in the order of depth, for learning rates that decay towards the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from architecture.conditioned_transformer import ConditionedTransformer
from architecture.frame_encoder import FrameEncoder, FrameResNet
from architecture.hierarchy import HierarchicalTransformer
from architecture.joint_transformer import JointTransformer
from architecture.level import Level
from architecture.torchvision_networks import TorchvisionNetwork

_OPENED = ("features", "blocks")  # torchvision's names for what holds a network's stages as its members


@dataclass(frozen=True)
class Depth:
    """The parameters that the features of one level depend on, each once."""

    layers: list[list[nn.Parameter]]
    """From the input on."""
    last_norm: list[nn.Parameter]
    """The norm that makes the features, behind the last layer; [] where there is none."""

    def rates(self, decay: float) -> dict[int, float]:
        """The learning rates of all parameters, by id, as shares of that of the norm and of the head that follows it.

        `decay` for the last layer, its square for the layer before, and so on (ELECTRA, Clark et al., 2020, arXiv
        2003.10555, section 3.1; BEiT, Bao et al., 2022, arXiv 2106.08254; MAE, He et al., 2022, arXiv 2111.06377).
        """
        shares = {
            id(parameter): decay ** (len(self.layers) - number)
            for number, layer in enumerate(self.layers)
            for parameter in layer
        }
        return shares | {id(parameter): 1.0 for parameter in self.last_norm}


def depth_of(encoder: nn.Module, level: str) -> Depth:
    """The layers below the features of `level`.

    * A hierarchy: its stem, then the blocks of each level up to this one. What leads into a level (projection,
      positions, summary token) counts with its first block, its norms with its last one; those of this level are
      `last_norm`.
    * A joint transformer: its embedding with the CLS token, then its blocks; its norm is `last_norm`.
    * A joint transformer that reads captions: the same, and what puts words beside patches is with its embedding.
    * A network of torchvision: what comes before its stages, then every stage.
    * Any other network: a single layer.
    """
    if isinstance(encoder, HierarchicalTransformer):
        return _of_hierarchy(encoder, level)
    if isinstance(encoder, JointTransformer):
        return _of_joint(encoder)
    if isinstance(encoder, ConditionedTransformer):
        return _of_conditioned(encoder)
    if isinstance(encoder, FrameEncoder):
        return depth_of(encoder.network, level)
    if isinstance(encoder, FrameResNet):
        return _of_stages(encoder.layers)
    if isinstance(encoder, TorchvisionNetwork):
        return _of_stages(encoder.network)
    return Depth([list(encoder.parameters())], [])


def _of_hierarchy(encoder: HierarchicalTransformer, level: str) -> Depth:
    layers = [list(encoder.stem.parameters())]
    norms = _parameters_of(encoder.summary_norms, "backbone")
    for name in encoder.levels if level != "backbone" else ():
        layers[-1] += norms
        module = cast(Level, encoder.levels[name])
        norms = [*module.norm.parameters(), *_parameters_of(encoder.summary_norms, name)]
        blocks = [list(block.parameters()) for block in module.blocks]
        inside = {id(parameter) for parameter in [*norms, *(p for block in blocks for p in block)]}
        leading_in = [parameter for parameter in module.parameters() if id(parameter) not in inside]
        layers += [leading_in + blocks[0], *blocks[1:]]
        if name == level:
            break
    return Depth(layers, norms)


def _of_joint(encoder: JointTransformer) -> Depth:
    before = [*encoder.embedding.parameters(), *([] if encoder.cls_D is None else [encoder.cls_D])]
    return Depth([before, *(list(block.parameters()) for block in encoder.blocks)], list(encoder.norm.parameters()))


def _of_conditioned(encoder: ConditionedTransformer) -> Depth:
    inside = _of_joint(encoder.joint)
    parts = [encoder.joint] if encoder.decoder is None else [encoder.joint, encoder.decoder]
    known = {id(parameter) for part in parts for parameter in part.parameters()}
    beside = [parameter for parameter in encoder.parameters() if id(parameter) not in known]  # of the words
    return Depth([inside.layers[0] + beside, *inside.layers[1:]], inside.last_norm)


def _parameters_of(modules: nn.ModuleDict, name: str) -> list[nn.Parameter]:
    return list(modules[name].parameters()) if name in modules else []


def _of_stages(network: nn.Module) -> Depth:
    stages: list[nn.Module] = []
    before: list[nn.Parameter] = []
    last_norm: list[nn.Parameter] = []
    for name, child in network.named_children():
        if name in _OPENED:
            stages += list(child.children())
        elif name.startswith("layer"):
            stages.append(child)
        elif stages:
            last_norm += child.parameters()
        else:
            before += child.parameters()
    known = {id(p) for p in [*before, *last_norm, *(p for stage in stages for p in stage.parameters())]}
    before += [p for p in network.parameters() if id(p) not in known]  # of the network itself, such as positions
    layers = [before, *(list(stage.parameters()) for stage in stages)]
    return Depth([layer for layer in layers if layer], last_norm)
