"""What becomes of tensors whose rows stand for places, computed another way for each layout."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architecture.layouts import Grid, Layout

GRIDS: tuple[Grid, Grid] = ((2, 3), (4, 6))
NONE: tuple[Grid, Grid] = ((1, 1), (1, 1))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_row_of_times_keeps_its_rows_at_the_same_times() -> None:
    old, new = numbers(3, 4), numbers(5, 4, seed=1)
    longer = Layout("row").refit(old, new, NONE)
    assert torch.equal(longer, torch.cat([old, new[3:]]))
    assert torch.equal(Layout("row").refit(longer, new[:2], NONE), old[:2])
    assert torch.equal(Layout("row").refit_moments(old, new, NONE), torch.cat([old, torch.zeros(2, 4)]))


def test_a_table_of_distances_grows_at_both_ends() -> None:
    old, new = numbers(5, 4), numbers(9, 4, seed=1)  # distances -2 to 2, then -4 to 4
    table = Layout("distances").refit(old, new, NONE)
    for distance in range(-4, 5):
        expected = old[distance + 2] if abs(distance) <= 2 else new[distance + 4]
        assert torch.equal(table[distance + 4], expected)
    assert torch.equal(Layout("distances").refit(table, old, NONE), old)
    assert torch.equal(Layout("distances").refit_moments(old, new, NONE)[[0, 1, 7, 8]], torch.zeros(4, 4))


def test_a_grid_is_resampled_in_two_dimensions() -> None:
    old, new = numbers(6, 4), numbers(24, 4, seed=1)
    table = Layout("grid").refit(old, new, GRIDS)
    for channel in range(4):
        picture = old[:, channel].view(1, 1, 2, 3)
        wanted = F.interpolate(picture, size=(4, 6), mode="bicubic", align_corners=False)
        assert torch.allclose(table[:, channel], wanted.flatten(), atol=1e-6)
    same = torch.ones(6, 4) * torch.arange(4.0)
    assert torch.allclose(Layout("grid").refit(same, new, GRIDS), torch.arange(4.0).expand(24, 4), atol=1e-6)


def test_a_grid_of_another_shape_with_as_many_places_is_another_grid() -> None:
    old = numbers(6, 4)
    turned: tuple[Grid, Grid] = ((2, 3), (3, 2))
    assert Layout("grid").differs(old, old, turned)
    assert not Layout("row").differs(old, old, turned)
    assert not torch.equal(Layout("grid").refit(old, old, turned), old)


def test_squares_that_an_optimizer_remembers_stay_positive() -> None:
    squares = numbers(6, 4) ** 4
    assert bool((Layout("grid").refit_moments(squares, numbers(24, 4), GRIDS) >= 0).all())
    patches = numbers(5, 3 * 8 * 8) ** 4
    assert bool((Layout("patch_in").refit_moments(patches, numbers(5, 3 * 4 * 4), NONE) >= 0).all())
    assert bool((Layout("patch_out").refit_moments(patches.T, numbers(3 * 4 * 4, 5), NONE) >= 0).all())


def patch_of(picture_CHW: Tensor) -> Tensor:
    """By row, column and channel, as `patchify` has it."""
    return picture_CHW.permute(1, 2, 0).flatten()


def resized(patch: Tensor, before: int, now: int) -> Tensor:
    picture = patch.view(before, before, 3).permute(2, 0, 1)
    return patch_of(F.interpolate(picture[None], size=(now, now), mode="bilinear", antialias=True)[0])


def test_what_a_layer_takes_of_a_patch_it_takes_of_the_larger_patch() -> None:
    weight, patch = numbers(5, 3 * 4**2), numbers(3 * 4**2, seed=1)
    larger = Layout("patch_in").refit(weight, torch.empty(5, 3 * 8**2), NONE)
    assert larger.shape == (5, 3 * 8**2)
    assert torch.allclose(larger @ resized(patch, 4, 8), weight @ patch, atol=1e-4)


@pytest.mark.parametrize(("before", "now"), [(8, 4), (9, 6)])
def test_what_a_layer_takes_of_a_patch_it_takes_of_the_smaller_patch_where_that_still_shows_it(
    before: int, now: int
) -> None:
    wanted, patch = numbers(3 * now**2), numbers(3 * before**2, seed=1).requires_grad_()
    # All that `wanted` sees of the smaller patch, as a weight for the larger one.
    (weight,) = torch.autograd.grad(wanted @ resized(patch, before, now), patch)
    smaller = Layout("patch_in").refit(weight[None], torch.empty(1, 3 * now**2), NONE)
    assert torch.allclose(smaller[0], wanted, atol=1e-4)


@pytest.mark.parametrize(("before", "now"), [(8, 4), (9, 6), (4, 8)])
def test_what_a_layer_gives_for_a_patch_is_resized_as_a_picture(before: int, now: int) -> None:
    weight, bias, hidden = numbers(3 * before**2, 5), numbers(3 * before**2, seed=1), numbers(5, seed=2)
    layout, blank = Layout("patch_out"), torch.empty(3 * now**2, 5)
    small = layout.refit(weight, blank, NONE) @ hidden + layout.refit(bias, blank[:, 0], NONE)
    assert torch.allclose(small, resized(weight @ hidden + bias, before, now), atol=1e-4)
