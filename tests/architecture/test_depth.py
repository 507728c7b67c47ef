"""architecture/depth.py: layers are counted through all levels, and every parameter below a level is in one of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import nn

from architecture.depth import Depth, depth_of
from architecture.hierarchy import HierarchicalTransformer
from architecture.level import Level
from architecture.torchvision_networks import TorchvisionName, TorchvisionNetwork
from config.schema import Config
from tasks.encoder import build_hierarchy

MakeConfig = Callable[..., Config]


def names(depth: Depth, encoder: nn.Module) -> list[set[str]]:
    """By layer, the names of its parameters; at last those of the last norm."""
    known = {id(parameter): name for name, parameter in encoder.named_parameters()}
    found = [[known[id(parameter)] for parameter in layer] for layer in [*depth.layers, depth.last_norm]]
    once = [name for layer in found for name in layer]
    assert len(once) == len(set(once))
    return [set(layer) for layer in found]


def of(module: nn.Module, prefix: str) -> set[str]:
    return {f"{prefix}.{name}" for name, _ in module.named_parameters()}


def hierarchy(tiny_config: MakeConfig, *overrides: str) -> HierarchicalTransformer:
    return build_hierarchy(tiny_config("hierarchy.time.layers=2", "hierarchy.output_batchnorm=true", *overrides))


def test_the_layers_of_a_hierarchy_are_its_stem_and_the_blocks_of_all_levels(tiny_config: MakeConfig) -> None:
    encoder = hierarchy(tiny_config)
    found = names(depth_of(encoder, "clip"), encoder)
    assert len(found) == 1 + 1 + 2 + 1 + 1  # the stem, a block of space, two of time, one of clip, the last norm
    assert found[0] == of(encoder.stem, "stem")
    before = of(encoder.levels["time"].blocks[0], "levels.time.blocks.0")  # type: ignore[index, arg-type]
    assert found[2] == before | {"levels.time.project.weight", "levels.time.project.bias"} | {
        "levels.time.positions.table_ND",
        "levels.time.summary_token_D",
    }
    level = cast(Level, encoder.levels["time"])
    norms = of(level.norm, "levels.time.norm") | of(encoder.summary_norms["time"], "summary_norms.time")
    assert found[3] == of(level.blocks[1], "levels.time.blocks.1") | norms
    assert found[-1] == {f"levels.clip.norm.{kind}" for kind in ("weight", "bias")} | of(
        encoder.summary_norms["clip"], "summary_norms.clip"
    )
    assert set().union(*found) == {name for name, _ in encoder.named_parameters()}


def test_what_lies_above_a_level_takes_no_part(tiny_config: MakeConfig) -> None:
    encoder = hierarchy(tiny_config, "groups=[backbone,space,time,clip]")
    found = names(depth_of(encoder, "space"), encoder)
    assert len(found) == 3
    assert found[0] == of(encoder.stem, "stem") | of(encoder.summary_norms["backbone"], "summary_norms.backbone")
    assert set().union(*found[1:]) == of(encoder.levels["space"], "levels.space") | of(
        encoder.summary_norms["space"], "summary_norms.space"
    )
    patches = names(depth_of(encoder, "backbone"), encoder)
    assert patches == [of(encoder.stem, "stem"), of(encoder.summary_norms["backbone"], "summary_norms.backbone")]


def test_rates_decay_from_the_last_layer_to_the_stem(tiny_config: MakeConfig) -> None:
    encoder = hierarchy(tiny_config)
    rates = depth_of(encoder, "clip").rates(0.5)
    of_name = {name: rates[id(parameter)] for name, parameter in encoder.named_parameters()}
    assert of_name["levels.clip.norm.weight"] == of_name["summary_norms.clip.weight"] == 1.0
    assert of_name["levels.clip.blocks.0.mlp.0.weight"] == of_name["levels.clip.project.weight"] == 0.5
    assert of_name["levels.time.blocks.1.mlp.0.weight"] == of_name["levels.time.norm.weight"] == 0.5**2
    assert of_name["levels.time.blocks.0.mlp.0.weight"] == 0.5**3
    assert of_name["levels.space.blocks.0.mlp.0.weight"] == of_name["levels.space.norm.bias"] == 0.5**4
    assert of_name["stem.project.weight"] == 0.5**5
    assert set(depth_of(encoder, "clip").rates(1.0).values()) == {1.0}


@pytest.mark.parametrize(("name", "stages"), [("r2plus1d_18", 5), ("s3d", 12)])
def test_the_layers_of_a_cnn_are_its_stages(name: TorchvisionName, stages: int) -> None:
    encoder = TorchvisionNetwork(name, "clip", 0.1)
    depth = depth_of(encoder, "clip")
    found = names(depth, encoder)
    assert len(depth.layers) == stages
    assert depth.last_norm == []
    assert set().union(*found) == {name for name, _ in encoder.named_parameters()}
    rates = depth.rates(0.5)
    first, last = (rates[id(parameter)] for parameter in (next(encoder.parameters()), list(encoder.parameters())[-1]))
    assert (first, last) == (0.5**stages, 0.5)


@pytest.mark.parametrize(("name", "stages"), [("mvit_v2_s", 17), ("swin3d_t", 8)])
def test_the_layers_of_a_transformer_end_with_its_norm(name: TorchvisionName, stages: int) -> None:
    encoder = TorchvisionNetwork(name, "clip", 0.1)
    depth = depth_of(encoder, "clip")
    found = names(depth, encoder)
    assert len(depth.layers) == stages
    assert found[-1] == {"network.norm.weight", "network.norm.bias"}
    assert set().union(*found) == {name for name, _ in encoder.named_parameters()}


def test_what_comes_before_the_stages_is_a_layer_and_the_norm_behind_them_is_the_last() -> None:
    encoder = TorchvisionNetwork("s3d", "clip", 0.1)
    stages = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2))
    parts = {"patch_embed": nn.Linear(2, 2), "features": stages, "norm": nn.LayerNorm(2), "head": nn.Identity()}
    encoder.network = nn.Sequential(OrderedDict(parts))
    encoder.network.register_parameter("positions", nn.Parameter(torch.zeros(2)))
    found = names(depth_of(encoder, "clip"), encoder)
    assert found[0] == {"network.patch_embed.weight", "network.patch_embed.bias", "network.positions"}
    assert found[1:3] == [of(stages[number], f"network.features.{number}") for number in (0, 2)]
    assert found[3:] == [of(parts["norm"], "network.norm")]


def test_any_other_network_is_one_layer() -> None:
    encoder = nn.Linear(2, 2)
    assert depth_of(encoder, "clip").rates(0.5) == {id(encoder.weight): 0.5, id(encoder.bias): 0.5}
