from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architecture.vit_blocks import JointAttention, SwiGLU, ViTBlock, make_norm

PLAIN: dict[str, Any] = {"norm": "layer", "mlp": "gelu", "qkv_bias": True, "layer_scale": None}


def make_block(**changes: Any) -> ViTBlock:
    torch.manual_seed(0)
    block = ViTBlock(12, 3, 20, **PLAIN | changes)
    for parameter in block.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return block.double()


def attended(attention: JointAttention, tokens: Tensor, shown: Tensor | None = None) -> Tensor:
    """The same, written out."""
    q, k, v = (
        part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in attention.to_qkv(tokens).chunk(3, -1)
    )
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if shown is not None:
        scores = scores.masked_fill(~shown, -torch.inf)
    mixed = scores.softmax(dim=-1) @ v
    output: Tensor = attention.to_out(mixed.transpose(1, 2).flatten(2))
    return output


@pytest.mark.parametrize(("norm", "mlp", "scale"), list(product(("layer", "rms"), ("gelu", "swiglu"), (None, 0.1))))
def test_a_block_is_what_its_formula_says(norm: str, mlp: str, scale: float | None) -> None:
    block = make_block(norm=norm, mlp=mlp, layer_scale=scale)
    tokens = torch.randn(2, 7, 12, dtype=torch.float64)

    def normed(module: Any, x: Tensor) -> Any:
        if norm == "rms":
            return x / x.square().mean(-1, keepdim=True).sqrt() * module.weight
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * module.weight + module.bias

    def fed(x: Tensor) -> Any:
        layers: Any = block.mlp
        if mlp == "gelu":
            return layers[2](nn.functional.gelu(layers[0](x)))
        value, gate = layers.to_hidden(x).split(20, dim=-1)
        return layers.to_out(value * gate * gate.sigmoid())

    scales: list[Any] = [
        1.0 if scale is None else module.scale_D for module in (block.attention_scale, block.mlp_scale)
    ]
    mixed = tokens + scales[0] * attended(block.attention, normed(block.attention_norm, tokens))
    expected = mixed + scales[1] * fed(normed(block.mlp_norm, mixed))
    torch.testing.assert_close(block(tokens), expected, rtol=1e-7, atol=1e-7)


def test_layer_scale_begins_with_its_number_on_both_branches() -> None:
    scales = {
        name: p for name, p in ViTBlock(12, 3, 20, **PLAIN | {"layer_scale": 0.1}).named_parameters() if "scale" in name
    }
    assert len(scales) == 2
    assert all(torch.equal(p, torch.full((12,), 0.1)) for p in scales.values())


def test_swiglu_has_half_as_many_weights_again_as_gelu() -> None:
    gelu = sum(p.numel() for p in make_block().mlp.parameters() if p.ndim > 1)
    swiglu = sum(p.numel() for p in SwiGLU(12, 20).parameters() if p.ndim > 1)
    assert swiglu == 1.5 * gelu


def test_hidden_keys_are_seen_by_nobody_and_rows_that_ask_stay() -> None:
    block, tokens = make_block(), torch.randn(2, 6, 12, dtype=torch.float64)
    shown = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]).bool()
    padded = tokens.clone()
    padded[~shown] = 100 * torch.randn(3, 12, dtype=torch.float64)
    one, other = (block(values, shown[:, None, None]) for values in (tokens, padded))
    assert torch.equal(one[shown], other[shown])
    torch.testing.assert_close(one[:1, :4], block(tokens[:1, :4]))  # as if they were not there
    assert not torch.allclose(block(tokens)[shown], block(padded)[shown])
    torch.testing.assert_close(
        block.attention(tokens, shown[:, None, None]), attended(block.attention, tokens, shown[:, None, None])
    )


def test_a_mask_of_pairs_may_hide_tokens_from_some() -> None:
    block, tokens = make_block(), torch.randn(1, 5, 12, dtype=torch.float64, requires_grad=True)
    shown = torch.ones(5, 5).bool()
    shown[:3, 3:] = False  # patches do not see text
    shown[3, 4] = False  # text sees no later text
    output = block(tokens, shown[None, None])
    for asks, asked in product(range(5), range(5)):
        (gradient,) = torch.autograd.grad(output[0, asks].sum(), tokens, retain_graph=True)
        assert bool(gradient[0, asked].any()) == (asks == asked or bool(shown[asks, asked]))


def test_skipped_branches_add_nothing_and_the_others_more() -> None:
    block, tokens = make_block(skip=0.5), torch.randn(64, 3, 12, dtype=torch.float64)
    torch.manual_seed(1)
    changed = (block.train()(tokens) != tokens).flatten(1).any(dim=1).double().mean().item()
    assert 0.55 < changed < 0.95  # three quarters keep a branch or both
    plain = make_block()
    torch.testing.assert_close(block.eval()(tokens), plain(tokens))
    mean = torch.stack(
        [block.train()(tokens) - tokens - block.attention(block.attention_norm(tokens)) for _ in range(200)]
    )
    assert mean.isfinite().all()


def test_norms_are_float32_or_better_for_half_precision() -> None:
    for kind in ("layer", "rms"):
        norm = make_norm(kind, 512)
        values = 300 + torch.randn(4, 512)
        half = norm.to(torch.bfloat16)(values.bfloat16()).float()
        exact = make_norm(kind, 512)(values.bfloat16().float())
        torch.testing.assert_close(half, exact, rtol=1e-2, atol=1e-2)
