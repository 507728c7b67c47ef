from __future__ import annotations

import pytest
import torch

from architecture.positions import Positions, sincos, sincos_grid


def test_sincos_is_the_published_formula() -> None:
    table = sincos(50, 8).double()
    for place in (0, 1, 7, 49):
        for i in range(4):
            angle = torch.tensor(place / 10_000 ** (i / 4), dtype=torch.float64)
            assert table[place, i].item() == pytest.approx(2**0.5 * angle.sin().item(), abs=1e-5)
            assert table[place, 4 + i].item() == pytest.approx(2**0.5 * angle.cos().item(), abs=1e-5)


@pytest.mark.parametrize(("shape", "dim"), [((4, 4), 16), ((3, 5), 16), ((7,), 16), ((3, 5), 18), ((4, 6), 13)])
def test_every_place_has_its_own_vector_on_the_scale_of_tokens(shape: tuple[int, ...], dim: int) -> None:
    table = sincos_grid(shape, dim)
    places = torch.tensor(shape).prod().item()
    assert table.shape == (places, dim)
    distance = torch.cdist(table.double(), table.double()) + 10 * torch.eye(len(table))
    assert distance.min() > 0.1
    assert table.square().mean().item() == pytest.approx(1.0, abs=0.25 if dim % 4 else 1e-5)


def test_a_grid_is_in_row_major_order() -> None:
    table = sincos_grid((3, 5), 16).unflatten(0, (3, 5))
    rows, columns = table[..., :8], table[..., 8:]
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    assert torch.equal(columns, columns[:1].expand_as(columns))
    torch.testing.assert_close(rows[:, 0], sincos(3, 8))
    torch.testing.assert_close(columns[0], sincos(5, 8))


def test_learned_positions_train_and_fixed_ones_do_not() -> None:
    torch.manual_seed(0)
    learned, fixed = Positions((4, 8), 64, "learned"), Positions((4, 8), 64, "sincos")
    assert [tuple(p.shape) for p in learned.parameters()] == [(32, 64)]
    assert learned.table_ND.square().mean().item() == pytest.approx(1, abs=0.2)
    assert list(fixed.parameters()) == []
    assert fixed.state_dict() == {}
    tokens = torch.randn(3, 32, 64)
    for positions in (learned, fixed):
        torch.testing.assert_close(positions(tokens) - tokens, positions.table_ND.expand_as(tokens))
