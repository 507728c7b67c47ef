from __future__ import annotations

import numpy as np
import pytest

from protocols.probes import order
from protocols.probes.order import batches_of, pools, steps_of_epoch


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 63, 64, 65, 200])
def test_every_sample_comes_once_an_epoch(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "POOL", 64)
    found = list(pools(samples, seed=3, epoch=1))
    assert sorted(np.concatenate(found).tolist()) == list(range(samples))
    assert [len(pool) for pool in found[:-1]] == [64] * (len(found) - 1)
    batches = [batch for pool in found for batch in batches_of(pool, 10)]
    assert len(batches) == steps_of_epoch(samples, 10)
    if samples > 10:
        assert max(map(len, batches)) <= 15
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(found))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order_of(seed: int, epoch: int) -> list[int]:
        found: list[int] = np.concatenate(list(pools(100, seed, epoch))).tolist()
        return found

    assert order_of(1, 2) == order_of(1, 2)
    assert len({tuple(order_of(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4
    assert order_of(1, 2) != list(range(100))


def test_a_pool_is_of_runs_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "POOL", 64)
    for pool in list(pools(6400, seed=0, epoch=0))[:5]:
        runs = np.unique(pool // order.RUN)
        assert len(runs) == 4  # each of them whole: neighbours are read together
        assert np.ptp(runs) > 50
    whole = next(iter(pools(60, seed=0, epoch=0)))
    assert len(np.unique(np.diff(whole))) > 20  # what fits into one pool is shuffled sample by sample
