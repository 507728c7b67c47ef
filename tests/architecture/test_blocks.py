from __future__ import annotations

import pytest
import torch
from torch import nn

from architecture.blocks import Block, init_lecun

ROWS = 8000


def make_block(skip: float = 0.0, causal: bool = False) -> Block:
    torch.manual_seed(0)
    return Block(8, heads=2, head_dim=4, mlp_dim=12, dropout=0.0, causal=causal, skip=skip)


@pytest.mark.parametrize("skip", [0.1, 0.5, 0.9])
def test_stochastic_depth_skips_whole_units_at_its_rate_and_scales_the_others(skip: float) -> None:
    block = make_block(skip)
    tokens = torch.randn(ROWS, 3, 8)
    added = block(tokens) - tokens
    skipped = (added == 0).flatten(1)
    assert torch.equal(skipped.any(dim=1), skipped.all(dim=1))  # all tokens of a unit, attention and MLP
    rate = skipped.all(dim=1).float().mean().item()
    assert rate == pytest.approx(skip, abs=4 * (skip * (1 - skip) / ROWS) ** 0.5)
    alive = ~skipped.all(dim=1)
    expected = (block.eval()(tokens) - tokens) / (1 - skip)
    torch.testing.assert_close(added[alive], expected[alive], atol=2e-5, rtol=1e-4)


def test_stochastic_depth_is_for_training_alone() -> None:
    block, plain = make_block(0.5), make_block(0.0)
    plain.load_state_dict(block.state_dict())
    tokens = torch.randn(50, 3, 8)
    assert not torch.equal(block(tokens), plain(tokens))
    assert torch.equal(block.eval()(tokens), plain(tokens))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    plain.train()(tokens)
    assert torch.equal(torch.get_rng_state(), state)  # what is off draws nothing


@pytest.mark.parametrize("causal", [True, False])
def test_causal_attention_sees_the_token_itself_and_those_before_it(causal: bool) -> None:
    block = make_block(causal=causal)
    tokens = torch.randn(1, 5, 8, requires_grad=True)
    scalars = block(tokens)[0] @ torch.arange(1.0, 9.0)
    rows = [torch.autograd.grad(scalar, tokens, retain_graph=True)[0][0] for scalar in scalars]
    seen = (torch.stack(rows) != 0).any(dim=-1)
    everything = torch.ones(5, 5, dtype=torch.bool)
    assert torch.equal(seen, everything.tril() if causal else everything)


@pytest.mark.parametrize("layer", [nn.Linear(300, 200), nn.Conv3d(12, 200, (1, 5, 5)), nn.Conv3d(100, 200, (3, 1, 1))])
def test_lecun_weights_keep_the_variance(layer: nn.Linear | nn.Conv3d) -> None:
    torch.manual_seed(0)
    init_lecun(layer)
    video = torch.randn(400, 300) if isinstance(layer, nn.Linear) else torch.randn(400, *layer.weight.shape[1:])
    assert layer(video).var().item() == pytest.approx(1, abs=0.05)
