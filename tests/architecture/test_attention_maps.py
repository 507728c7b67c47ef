from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from einops import rearrange
from torch import Tensor

from architecture.attention_maps import attention_weights, summary_attention
from architecture.blocks import Attention
from architecture.hierarchy import HierarchicalTransformer
from config.schema import Config
from tasks.encoder import build_hierarchy

MakeConfig = Callable[..., Config]
LAYERS = [f"architecture_{level}.layers=3" for level in ("space", "time", "clip")]
CAUSAL = [f"architecture_{level}.causal_mask=true" for level in ("space", "time", "clip")]


def make_hierarchy(make_config: MakeConfig, *options: str) -> HierarchicalTransformer:
    torch.manual_seed(0)
    hierarchy = build_hierarchy(make_config(*options))
    for parameter in hierarchy.parameters():  # attention of initial weights is nearly uniform
        parameter.data += 0.3 * torch.randn_like(parameter)
    return hierarchy.eval()


def make_video(batch: int = 2) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("causal", [False, True])
def test_the_weights_times_the_values_give_what_the_attention_gives(causal: bool) -> None:
    torch.manual_seed(0)
    attention = Attention(dim=12, heads=3, head_dim=5, dropout=0.3, causal=causal).eval()
    tokens_BND = 3 * torch.randn(4, 7, 12)
    weights = attention_weights(attention, tokens_BND)
    assert torch.allclose(weights.sum(dim=-1), torch.ones(4, 3, 7))
    values = rearrange(attention.to_qkv(tokens_BND)[..., 2 * 3 * 5 :], "b n (h d) -> b h n d", h=3)
    given = attention.to_out(rearrange(weights @ values, "b h n d -> b n (h d)"))
    assert torch.allclose(given, attention(tokens_BND), atol=1e-6)
    assert bool(weights.triu(1).any()) != causal
    assert weights.std(dim=-1).max() > 0.1  # they are not uniform, which would hide a wrong order


@pytest.mark.parametrize("options", [LAYERS, [*LAYERS, *CAUSAL], ["groups=[backbone,space,time]", "frames_per_clip=6"]])
def test_the_forward_pass_is_the_same_beside_it(tiny_config: MakeConfig, options: list[str]) -> None:
    hierarchy, video = make_hierarchy(tiny_config, *options).train(), make_video()
    hierarchy.eval()
    before = hierarchy(video)
    hierarchy.train()
    maps = summary_attention(hierarchy, video)
    assert hierarchy.training
    hierarchy.eval()
    after = hierarchy(video)
    assert all(torch.equal(before[level], after[level]) for level in before)
    assert not any(module._forward_pre_hooks for module in hierarchy.modules())
    geometry = hierarchy.geometry
    assert list(maps) == list(geometry.joining)
    for level, found in maps.items():
        shape = (2, geometry.units(level), geometry.tokens(level))
        for of_kind in (found.last_BGN, found.rollout_BGN):
            assert of_kind.shape == shape
            assert bool((of_kind >= 0).all())
            assert bool((of_kind.sum(dim=-1) <= 1 + 1e-5).all())


def test_rollout_is_the_product_over_the_blocks(tiny_config: MakeConfig) -> None:
    """By hand, from what goes into the attention of each block of a level."""
    hierarchy, video = make_hierarchy(tiny_config, *LAYERS), make_video()
    level = hierarchy.levels["time"]
    weights: list[Tensor] = []
    for block in level.blocks:  # type: ignore[union-attr]
        block.attention.register_forward_pre_hook(
            lambda module, inputs: weights.append(attention_weights(module, inputs[0]).mean(dim=1))
        )
    found = summary_attention(hierarchy, video)["time"]
    mixed = [(of_block + torch.eye(3)) / 2 for of_block in weights[:3]]
    product = mixed[2] @ mixed[1] @ mixed[0]
    assert torch.allclose(found.rollout_BGN.flatten(0, 1), product[:, 0, 1:], atol=1e-6)
    assert torch.allclose(found.last_BGN.flatten(0, 1), weights[2][:, 0, 1:])


def test_the_summary_of_a_causal_level_is_one_of_its_tokens(tiny_config: MakeConfig) -> None:
    """Moving a token that has no weight for the summary does not move the summary, and moving others does."""
    hierarchy = make_hierarchy(tiny_config, "architecture_clip.causal_mask=true")
    # A window has one unit of `clip`: its summary is the state before the last, which has not seen the last clip.
    video = make_video(1)
    found = summary_attention(hierarchy, video)["clip"]
    assert found.last_BGN.shape == (1, 1, 3)
    assert torch.allclose(found.last_BGN.sum(), torch.tensor(1.0))
    moved = video.clone()
    moved[:, 4:] += 1
    same = torch.allclose(hierarchy(moved)["clip"], hierarchy(video)["clip"], atol=1e-5)
    assert (float(found.last_BGN[0, 0, 2]) == 0) == same
    assert same
