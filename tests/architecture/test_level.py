from __future__ import annotations

import pytest
import torch
from torch import Tensor

from architecture.level import Level


def make_level(dropout: float = 0.0, positions: str = "learned") -> Level:
    torch.manual_seed(0)
    return Level(
        12, (2, 3), dim=16, layers=2, heads=2, head_dim=4, mlp_dim=20, dropout=dropout, position_embedding=positions
    )


def make_tokens() -> Tensor:
    return torch.randn(2, 4, 6, 12, generator=torch.Generator().manual_seed(1))


def test_units_are_summarised_one_by_one() -> None:
    level, tokens = make_level(), make_tokens()
    together = level(tokens)
    assert together.shape == (2, 4, 16)
    for video in range(2):
        for unit in range(4):
            alone = level(tokens[video : video + 1, unit : unit + 1])[0, 0]
            torch.testing.assert_close(together[video, unit], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "sincos"])
def test_a_summary_depends_on_every_token_and_on_its_place(positions: str) -> None:
    level, tokens = make_level(positions=positions), make_tokens().requires_grad_()
    gradient = torch.autograd.grad(level(tokens)[0, 0] @ torch.arange(16.0), tokens)[0]
    assert (gradient[0, 0].abs().amax(dim=-1) > 0).all()
    moved = tokens.roll(1, dims=2)
    assert (level(moved) - level(tokens)).abs().max() > 1e-3


def test_dropout_is_for_training_alone() -> None:
    level, tokens = make_level(dropout=0.3), make_tokens()
    assert not torch.equal(level(tokens), level(tokens))
    level.eval()
    assert torch.equal(level(tokens), level(tokens))
    without = make_level(dropout=0.0)
    without.load_state_dict(level.state_dict())
    assert torch.equal(level(tokens), without(tokens))


def test_under_autocast_summaries_are_close_to_those_in_float32() -> None:
    level, tokens = make_level(), make_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        rough = level(tokens)
    torch.testing.assert_close(rough.float(), level(tokens), atol=0.1, rtol=0.1)
