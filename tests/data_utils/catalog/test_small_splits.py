from __future__ import annotations

import pytest
from scipy import stats

from data_utils.catalog.small_splits import half_interval, interval_to_expect


@pytest.mark.parametrize("videos", [1, 10, 93, 480])
def test_the_interval_is_wilsons_at_one_half(videos: int) -> None:
    z = 1.96
    centre_free = z / (1 + z**2 / videos) * (0.25 / videos + z**2 / (4 * videos**2)) ** 0.5
    assert half_interval(videos) == pytest.approx(100 * centre_free)
    if videos % 2 == 0:
        low, high = stats.binomtest(videos // 2, videos).proportion_ci(0.95, method="wilson")
        assert half_interval(videos) == pytest.approx(50 * (high - low), rel=1e-3)


def test_what_is_told() -> None:
    assert interval_to_expect("test", 10, 1) == (
        "test is small (10 videos of 1 group): a score of 50 % there means 24 to 76 %, and another draw of groups may "
        "differ by more"
    )
    assert interval_to_expect("val", 40) == "val is small (40 videos): a score of 50 % there means 35 to 65 %"
    assert interval_to_expect("val", 40, 20) == (
        "val is small (40 videos of 20 groups): a score of 50 % there means 35 to 65 %"
    )
    assert interval_to_expect("val", 1) == "val is small (1 video): a score of 50 % there means 5 to 95 %"
    assert interval_to_expect("test", 500) is None
    assert interval_to_expect("test", 500, 20) is None
    assert "of 2 groups" in str(interval_to_expect("test", 500, 2))
    assert interval_to_expect("test", 0) is None
