from __future__ import annotations

import pytest

from schedules import half_cosine


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 0.2), (1 / 3, 0.4), (0.5, 0.6), (2 / 3, 0.8), (1.0, 1.0)])
def test_half_a_cosine_leaves_slowly_and_arrives_slowly(progress: float, expected: float) -> None:
    assert half_cosine(0.2, 1.0, progress) == pytest.approx(expected)
    assert half_cosine(1.0, 0.2, progress) == pytest.approx(1.2 - expected)
