"""Who stops a preparation hears of it from the program alone."""

from __future__ import annotations

import time
import warnings

from data_utils.prepare.conversion.chunks import run_jobs


def slowly(number: int) -> int:
    time.sleep(0.1 * number)
    return number


def test_joblib_does_not_complain_of_cancelled_tasks() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        results = run_jobs(slowly, [(number,) for number in range(6)], workers=2)
        assert next(results) in range(6)
        results.close()
    assert not told
