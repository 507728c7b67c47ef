from __future__ import annotations

import pytest
import torch

from architecture.summary_norm import SummaryNorm


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 5


def test_units_are_standardised_over_the_batch() -> None:
    norm = SummaryNorm(6, 0.1)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(1.0, 7.0))
        norm.bias.copy_(torch.arange(6.0))
    units = drawn(4, 5, 3, 6)
    flat = units.double().flatten(0, 2)
    expected = (flat - flat.mean(dim=0)) / (flat.var(dim=0, unbiased=False) + 1e-5).sqrt()
    expected = (expected * torch.arange(1.0, 7.0) + torch.arange(6.0)).view(4, 5, 3, 6)
    torch.testing.assert_close(norm(units).double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm(units, update=False).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("momentum", "settles"), [(0.1, True), (0.001, False)])
def test_running_statistics_settle_within_fifty_steps(momentum: float, settles: bool) -> None:
    norm = SummaryNorm(6, momentum)
    for step in range(50):
        norm(drawn(64, 6, seed=step))
    normed = norm.eval()(drawn(4000, 6, seed=99))
    assert (normed.mean(dim=0).abs().max().item() < 0.1) == settles
    assert ((normed.std(dim=0) - 1).abs().max().item() < 0.1) == settles


def test_statistics_that_do_not_count_leave_the_running_ones() -> None:
    norm = SummaryNorm(6, 0.1)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm(drawn(20, 6), update=False)
    norm(drawn(1, 6))
    norm.eval()(drawn(20, 6))
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])
    norm.train()(drawn(20, 6))
    assert not torch.equal(norm.state_dict()["running_mean"], before["running_mean"])


def test_a_single_unit_is_normalised_by_the_running_statistics() -> None:
    norm = SummaryNorm(6, 0.1)
    norm(drawn(20, 6))
    alone = norm(drawn(1, 1, 6, seed=3))
    assert torch.equal(alone, norm.eval()(drawn(1, 1, 6, seed=3)))
    assert alone.abs().max() > 0.1


def test_statistics_are_in_float32_under_autocast() -> None:
    norm = SummaryNorm(6, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        for update in (True, False):
            assert norm(drawn(20, 6).bfloat16(), update=update).dtype == torch.float32
        assert torch.equal(norm(drawn(20, 6)), SummaryNorm(6, 0.1)(drawn(20, 6)))
