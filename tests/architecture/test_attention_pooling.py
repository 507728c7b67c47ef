from __future__ import annotations

import pytest
import torch

from architecture.attention_pooling import AttentionPooling


@pytest.mark.parametrize(("latents", "shape"), [(1, (2, 16)), (25, (2, 25, 16))])
@torch.no_grad()
def test_shapes(latents: int, shape: tuple[int, ...]) -> None:
    assert AttentionPooling(16, 4, latents)(torch.randn(2, 9, 16)).shape == shape


@torch.no_grad()
def test_the_order_of_tokens_counts_for_nothing_and_hidden_ones_neither() -> None:
    torch.manual_seed(0)
    pooling, tokens = AttentionPooling(16, 4, 3), torch.randn(2, 9, 16)
    expected = pooling(tokens)
    torch.testing.assert_close(pooling(tokens.flip(1)), expected)
    padded, shown = torch.cat([tokens, 9 * torch.randn(2, 4, 16)], dim=1), torch.arange(13).expand(2, -1) < 9
    torch.testing.assert_close(pooling(padded, shown), expected)
    assert not torch.allclose(pooling(padded), expected)


def test_latents_learn_to_look_at_different_tokens() -> None:
    torch.manual_seed(0)
    pooling, tokens = AttentionPooling(8, 2, 2), torch.randn(64, 5, 8)
    optimizer = torch.optim.Adam(pooling.parameters(), lr=3e-3)
    target = tokens[:, :2] / tokens[:, :2].norm(dim=-1, keepdim=True)
    tokens = tokens + 3 * torch.eye(5, 8)  # so that the first two can be told from the others
    first = 0.0
    for _ in range(150):
        loss = (pooling(tokens) - target).square().mean()
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


@pytest.mark.parametrize(("heads", "latents"), [(3, 1), (4, 0)])
def test_numbers_that_do_not_fit_are_refused(heads: int, latents: int) -> None:
    with pytest.raises(ValueError, match=f"{heads} heads cannot share a width of 16, or {latents} latents"):
        AttentionPooling(16, heads, latents)
