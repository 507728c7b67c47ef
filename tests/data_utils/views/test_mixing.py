"""protocols/finetuning/mixing.py: pixels and labels are mixed in the same proportion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from data_utils.views.mixing import Mix, draw_mix

SHAPE = (3, 20, 30)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def video() -> Tensor:
    """Three windows whose pixels are 0, 1 and 2 everywhere."""
    return torch.arange(3.0).view(3, 1, 1, 1, 1).expand(3, 4, 3, 20, 30).clone()


def drawn(seed: int, mixup: float = 0.0, cutmix: float = 0.0) -> Mix:
    mix = draw_mix(mixup, cutmix, SHAPE, generator(seed))
    assert mix is not None
    return mix


def test_mixup_adds_the_next_window_in_the_proportion_of_the_labels() -> None:
    before = video()
    mixed = Mix(0.7).pixels(before)
    torch.testing.assert_close(mixed[:, 0, 0, 0, 0], torch.tensor([0.3, 0.7 + 0.6, 1.4]))
    assert torch.equal(before, video())


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_puts_the_same_rectangle_of_the_next_window_into_all_frames(seed: int) -> None:
    mix = drawn(seed, cutmix=1.0)
    mixed = mix.pixels(video())
    from_next = mixed[0] == 1.0  # the first window is 0, the next one 1
    assert torch.equal(from_next, from_next[:1, :1].expand_as(from_next))
    assert 1 - from_next.float().mean().item() == pytest.approx(mix.own, abs=1e-6)
    assert set(mixed[0].unique().tolist()) <= {0.0, 1.0}
    assert set(mixed[2].unique().tolist()) <= {0.0, 2.0}  # the last window gets the first


def test_proportions_are_those_of_the_beta_distribution() -> None:
    shares = np.array([drawn(seed, mixup=0.8).own for seed in range(2000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.8 + 1)), abs=0.01)
    areas = np.array([drawn(seed, cutmix=1.0).own for seed in range(2000)])
    assert 0.5 < areas.mean() < 0.75  # rectangles lose what lies outside of the frame


def test_with_both_a_batch_gets_one_of_them() -> None:
    kinds = [drawn(seed, mixup=0.8, cutmix=1.0).box is None for seed in range(400)]
    assert 150 < sum(kinds) < 250


def test_a_draw_is_a_function_of_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = drawn(5, cutmix=1.0)
    torch.manual_seed(2)
    np.random.seed(2)
    assert drawn(5, cutmix=1.0) == first != drawn(6, cutmix=1.0)


def test_nothing_is_mixed_unasked_or_alone() -> None:
    assert draw_mix(0.0, 0.0, SHAPE, generator(0)) is None
    assert draw_mix(0.8, 1.0, (1, 20, 30), generator(0)) is None
