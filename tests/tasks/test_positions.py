from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from tasks.positions import draw_below, draw_other_times, other_time_probabilities


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_the_cdf(times: int, std_divisor: float, time: int) -> NDArray[np.float64]:
    normal = stats.norm(time, max(time, times - time) / std_divisor)
    mass = np.array([normal.cdf(other + 0.5) - normal.cdf(other - 0.5) for other in range(times)])
    mass[time] = 0
    scaled: NDArray[np.float64] = mass / mass.sum()
    return scaled


def p_value(counts: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    if possible.sum() == 1:
        return 1.0
    return float(stats.chisquare(counts[possible], counts.sum() * probabilities[possible]).pvalue)


@pytest.mark.parametrize("times", [2, 3, 8, 33])
@pytest.mark.parametrize("std_divisor", [0.5, 2.0, 7.0])
def test_another_time_has_the_mass_that_a_truncated_normal_has_around_it(times: int, std_divisor: float) -> None:
    probabilities = other_time_probabilities(times, std_divisor)
    assert probabilities.dtype == torch.float64
    for time in range(times):
        expected = torch.from_numpy(by_the_cdf(times, std_divisor, time))
        torch.testing.assert_close(probabilities[time], expected, rtol=1e-9, atol=1e-12)


def test_the_spread_is_that_of_the_longer_side() -> None:
    # p = 1 of 4: std 3 / 2, not 1 / 2. Masses of the cells around 0, 2 and 3, by hand from a table of the normal.
    cdf = stats.norm.cdf
    mass = np.array([cdf(-1 / 3) - cdf(-1), 0, cdf(1) - cdf(1 / 3), cdf(5 / 3) - cdf(1)])
    torch.testing.assert_close(other_time_probabilities(4, 2.0)[1], torch.from_numpy(mass / mass.sum()))


def test_a_very_narrow_normal_leaves_the_neighbours() -> None:
    probabilities = other_time_probabilities(5, 1e4)
    expected = torch.tensor([[0, 1, 0, 0, 0], [0.5, 0, 0.5, 0, 0], [0, 0.5, 0, 0.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(probabilities[:3], expected)


@pytest.mark.parametrize(("times", "std_divisor"), [(2, 2.0), (8, 2.0), (8, 6.0), (16, 1.0)])
def test_draws_follow_the_distribution(times: int, std_divisor: float) -> None:
    drawn = draw_other_times(other_time_probabilities(times, std_divisor), 40_000, generator()).numpy()
    assert drawn.shape == (40_000, times)
    for time in range(times):
        assert drawn[:, time].min() >= 0
        assert not (drawn[:, time] == time).any()
        counts = np.bincount(drawn[:, time], minlength=times)
        expected = by_the_cdf(times, std_divisor, time)
        common = expected * len(drawn) >= 5  # a chi-square needs that; the rest is one cell
        folded = [np.append(x[common], x[~common].sum()) for x in (counts, expected)]
        assert p_value(*folded) > 1e-4


def test_the_draws_of_two_rows_and_of_two_units_are_independent() -> None:
    drawn = draw_other_times(other_time_probabilities(4, 1.0), 40_000, generator()).numpy()
    for first, second in ((drawn[:-1, 1], drawn[1:, 1]), (drawn[:, 1], drawn[:, 2])):
        table = np.zeros((4, 4))
        np.add.at(table, (first, second), 1)
        table = table[table.any(axis=1)][:, table.any(axis=0)]
        assert stats.chi2_contingency(table).pvalue > 1e-4


def test_draws_are_a_function_of_the_generator_alone() -> None:
    probabilities = other_time_probabilities(8, 2.0)
    torch.manual_seed(1)
    first = draw_other_times(probabilities, 20, generator(3))
    below = draw_below(3, 4, 20, anywhere=True, everything=False, generator=generator(3))
    torch.manual_seed(2)
    assert torch.equal(draw_other_times(probabilities, 20, generator(3)), first)
    assert torch.equal(draw_below(3, 4, 20, anywhere=True, everything=False, generator=generator(3)), below)
    assert not torch.equal(draw_other_times(probabilities, 20, generator(4)), first)
    assert not torch.equal(draw_below(3, 4, 20, anywhere=True, everything=False, generator=generator(4)), below)


def test_all_units_below_are_those_inside_or_all_of_the_window() -> None:
    inside = draw_below(3, 2, 5, anywhere=False, everything=True, generator=generator())
    assert inside.tolist() == [[[0, 1], [2, 3], [4, 5]]]
    anywhere = draw_below(3, 2, 5, anywhere=True, everything=True, generator=generator())
    assert anywhere.tolist() == [[[0, 1, 2, 3, 4, 5]] * 3]


@pytest.mark.parametrize("anywhere", [False, True])
def test_a_drawn_unit_below_is_any_of_them_alike(anywhere: bool) -> None:
    drawn = draw_below(3, 4, 20_000, anywhere=anywhere, everything=False, generator=generator())
    assert drawn.shape == (20_000, 3, 1)
    for unit in range(3):
        possible = np.ones(12, bool) if anywhere else np.arange(12) // 4 == unit
        counts = np.bincount(drawn[:, unit, 0].numpy(), minlength=12)
        assert p_value(counts, possible / possible.sum()) > 1e-4
