"""Position biases of attention windows that are smaller than those of the published network."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import nn

from architecture.swin_windows import give_small_windows_their_positions

HEADS, WHOLE = 2, (3, 4, 4)


def make_attention() -> Any:
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    torch.manual_seed(0)
    return ShiftedWindowAttention3d(4, list(WHOLE), [1, 2, 2], HEADS)


def corrected(attention: nn.Module) -> Any:
    ours = copy.deepcopy(attention)
    give_small_windows_their_positions(ours)
    return ours


@pytest.mark.parametrize("window", [WHOLE, (1, 4, 4), (2, 3, 4), (3, 2, 2), (1, 1, 1)])
def test_a_bias_is_that_of_the_distance_between_two_places(window: tuple[int, int, int]) -> None:
    attention = make_attention()
    bias = corrected(attention).get_relative_position_bias(list(window))
    places = list(itertools.product(*map(range, window)))
    assert bias.shape == (1, HEADS, len(places), len(places))
    _, rows, columns = (2 * size - 1 for size in WHOLE)
    for (one, place), (other, its_place) in itertools.product(enumerate(places), repeat=2):
        t, h, w = (a - b + size - 1 for a, b, size in zip(place, its_place, WHOLE, strict=True))
        assert torch.equal(bias[0, :, one, other], attention.relative_position_bias_table[(t * rows + h) * columns + w])


@pytest.mark.parametrize(("window", "same"), [(WHOLE, True), (2, True), ((3, 2, 2), False), ((1, 3, 4), True)])
def test_torchvision_confuses_the_places_of_narrow_windows_alone(window: Any, same: bool) -> None:
    size = [window, *WHOLE[1:]] if isinstance(window, int) else list(window)
    attention = make_attention()
    theirs, ours = attention.get_relative_position_bias(size), corrected(attention).get_relative_position_bias(size)
    assert torch.equal(theirs, ours) == same


def test_weights_and_their_names_stay() -> None:
    attention = make_attention()
    ours = corrected(attention)
    before, after = attention.state_dict(), ours.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_copy_looks_up_its_own_table() -> None:
    ours = corrected(make_attention())
    other = copy.deepcopy(ours)
    with torch.no_grad():
        other.relative_position_bias_table.add_(1)
    window = [1, 2, 2]
    difference = other.get_relative_position_bias(window) - ours.get_relative_position_bias(window)
    torch.testing.assert_close(difference, torch.ones(1, HEADS, 4, 4))


def test_places_of_a_small_map_are_told_apart_as_in_a_large_one() -> None:
    # Two rows of a 2 x 4 map are as far apart as in the 4 x 4 map that fills the window: the same bias.
    ours = corrected(make_attention())
    small, large = ours.get_relative_position_bias([1, 2, 4]), ours.get_relative_position_bias([1, 4, 4])
    assert torch.equal(small, large[:, :, :8, :8])
