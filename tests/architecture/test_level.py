from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architecture.level import Level


def make_level(
    dropout: float = 0.0,
    positions: str = "learned",
    causal: bool = False,
    single_unit: bool = False,
    skip: float = 0.0,
    layers: int = 2,
) -> Level:
    torch.manual_seed(0)
    return Level(
        12,
        (2, 3),
        dim=16,
        layers=layers,
        heads=2,
        head_dim=4,
        mlp_dim=20,
        dropout=dropout,
        position_embedding=positions,
        stochastic_depth=skip,
        causal_mask=causal,
        single_unit=single_unit,
    )


def make_tokens() -> Tensor:
    return torch.randn(2, 4, 6, 12, generator=torch.Generator().manual_seed(1))


def by_hand(level: Level, tokens_ND: Tensor, causal: bool) -> Tensor:
    """One unit's tokens after the last norm, in float64 and with a loop over heads."""
    weights = {name: value.double() for name, value in level.state_dict().items()}

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        normed: Tensor = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return normed

    x = linear("project", tokens_ND.double()) + weights["positions.table_ND"]
    if not causal:
        x = torch.cat([weights["summary_token_D"][None], x])
    for number in range(2):
        block = f"blocks.{number}"
        q, k, v = linear(f"{block}.attention.to_qkv", norm(f"{block}.attention_norm", x)).split(8, dim=1)
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            scores = q[:, head] @ k[:, head].T / 2
            if causal:
                scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
            heads.append(scores.softmax(dim=1) @ v[:, head])
        x = x + linear(f"{block}.attention.to_out", torch.cat(heads, dim=1))
        x = x + linear(f"{block}.mlp.3", F.gelu(linear(f"{block}.mlp.0", norm(f"{block}.mlp_norm", x))))
    return norm("norm", x)


@pytest.mark.parametrize("single_unit", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_a_level_is_what_it_says(causal: bool, single_unit: bool) -> None:
    level, tokens = make_level(causal=causal, single_unit=single_unit), make_tokens()
    summaries, states = level(tokens)
    for video in range(2):
        for unit in range(4):
            expected = by_hand(level, tokens[video, unit], causal)
            summary = expected[0] if not causal else expected[4 if single_unit else 5]
            torch.testing.assert_close(summaries[video, unit].double(), summary, atol=1e-5, rtol=1e-5)
            of_tokens = expected if causal else expected[1:]
            torch.testing.assert_close(states[video, unit].double(), of_tokens, atol=1e-5, rtol=1e-5)


def test_a_causal_level_has_no_token_of_its_own() -> None:
    plain, causal = (list(make_level(causal=causal).state_dict()) for causal in (False, True))
    assert plain[0] == "summary_token_D"
    assert causal == plain[1:]


def test_units_are_summarised_one_by_one() -> None:
    level, tokens = make_level(), make_tokens()
    together, _ = level(tokens)
    assert together.shape == (2, 4, 16)
    for video in range(2):
        for unit in range(4):
            alone = level(tokens[video : video + 1, unit : unit + 1])[0][0, 0]
            torch.testing.assert_close(together[video, unit], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_a_summary_depends_on_every_token_and_on_its_place(positions: str) -> None:
    level, tokens = make_level(positions=positions), make_tokens().requires_grad_()
    gradient = torch.autograd.grad(level(tokens)[0][0, 0] @ torch.arange(16.0), tokens)[0]
    assert (gradient[0, 0].abs().amax(dim=-1) > 0).all()
    moved = tokens.roll(1, dims=2)
    assert (level(moved)[0] - level(tokens)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_a_state_has_seen_its_own_token_and_those_before_it_in_its_unit(training: bool) -> None:
    level, tokens = make_level(causal=True, dropout=0.2).train(training), make_tokens().requires_grad_()
    _, states = level(tokens)
    scalars_GN = states[0] @ torch.arange(1.0, 17.0)
    rows = [torch.autograd.grad(scalar, tokens, retain_graph=True)[0] for scalar in scalars_GN.flatten()]
    found = (torch.stack(rows) != 0).any(dim=-1).view(4, 6, 2, 4, 6)
    expected = torch.zeros(4, 6, 2, 4, 6, dtype=torch.bool)
    for unit in range(4):
        expected[unit, :, 0, unit] = torch.ones(6, 6).tril().bool()
    assert torch.equal(found, expected)


def test_tokens_to_come_do_not_change_a_bit_of_a_state() -> None:
    level, tokens = make_level(causal=True).eval(), make_tokens()
    changed = tokens.clone()
    changed[:, :, 3:] += 1
    same = (level(changed)[1] == level(tokens)[1]).all(dim=-1)
    assert torch.equal(same, torch.tensor([True] * 3 + [False] * 3).expand(2, 4, 6))


@pytest.mark.parametrize(("layers", "expected"), [(1, [0.4]), (4, [0.1, 0.2, 0.3, 0.4])])
def test_the_chance_to_skip_a_block_grows_linearly_to_the_levels_value(layers: int, expected: list[float]) -> None:
    level = make_level(skip=0.4, layers=layers)
    assert [block.skip for block in level.blocks] == pytest.approx(expected)


def test_stochastic_depth_is_drawn_for_each_unit() -> None:
    level = make_level(skip=0.5, layers=1)
    tokens = make_tokens()[:1, :1].expand(1, 200, 6, 12)
    found = level(tokens)[0][0]
    skipped = (found == found[found.square().sum(dim=1).argmin()]).all(dim=1)
    # Skipped units are all alike, the others too.
    assert len(found.unique(dim=0)) == 2
    assert 60 < skipped.sum() < 140
    assert len(level.eval()(tokens)[0][0].unique(dim=0)) == 1


@pytest.mark.parametrize("causal", [True, False])
def test_dropout_is_for_training_alone(causal: bool) -> None:
    level, tokens = make_level(dropout=0.3, causal=causal), make_tokens()
    assert not torch.equal(level(tokens)[0], level(tokens)[0])
    level.eval()
    assert torch.equal(level(tokens)[0], level(tokens)[0])
    without = make_level(dropout=0.0, causal=causal)
    without.load_state_dict(level.state_dict())
    assert torch.equal(level(tokens)[0], without(tokens)[0])


@pytest.mark.parametrize("causal", [True, False])
def test_under_autocast_summaries_are_close_to_those_in_float32(causal: bool) -> None:
    level, tokens = make_level(causal=causal), make_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = level(tokens)
    torch.testing.assert_close(rough.float(), level(tokens)[0], atol=0.1, rtol=0.1)
