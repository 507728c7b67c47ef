from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from protocols.probes import feature_rows
from protocols.probes.feature_rows import FeatureRows, Scale
from tests.protocols.clouds import rng
from tests.protocols.probes.samples import CPU


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_samples_are_read_from_memory_and_from_files(whole: bool, mapped: bool, tmp_path: Path) -> None:
    features_VKD = rng().normal(size=(20, 2, 3)).astype(np.float32)
    source = features_VKD
    if mapped:
        features_VKD.tofile(tmp_path / "features")
        source = np.memmap(tmp_path / "features", np.float32, "r", shape=features_VKD.shape)
    rows = np.array([1, 4, 5, 9, 18])
    read = FeatureRows(source, rows, CPU, whole=whole)
    numbers = np.array([3, 0, 4])
    pool_PKD, places = read.pool(numbers)
    np.testing.assert_array_equal(pool_PKD[torch.from_numpy(places)], features_VKD[rows[numbers]])
    assert len(pool_PKD) == (5 if whole else 3)


def test_the_scale_is_that_of_the_views_that_count_and_of_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    features_VKD = (rng().normal(size=(50, 2, 3)) * [1e-4, 1.0, 1e4] + [1e-3, 5.0, 2e4]).astype(np.float32)
    rows = np.arange(0, 50, 2)
    counts_VK = rng(1).random((50, 2)) < 0.7
    spoiled = features_VKD.copy()
    spoiled[1::2] = 1e9
    spoiled[~counts_VK] = np.nan
    scale = Scale.of(spoiled, rows, counts_VK, CPU)
    for part in range(2):
        counted = features_VKD[rows[counts_VK[rows, part]], part].astype(np.float64)
        np.testing.assert_allclose(scale.mean_KD[part], counted.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(scale.std_KD[part], counted.std(axis=0), rtol=1e-5)
    monkeypatch.setattr(feature_rows, "BLOCK", 7)
    again = Scale.of(spoiled, rows, counts_VK, CPU)
    torch.testing.assert_close(again.std_KD, scale.std_KD)


def test_what_is_the_same_everywhere_becomes_zero() -> None:
    features_VKD = np.zeros((8, 1, 3), np.float32)
    features_VKD[:, 0, 1], features_VKD[:, 0, 2] = 0.1, rng().normal(size=8)
    scale = Scale.of(features_VKD, np.arange(8), np.ones((8, 1), np.bool_), CPU)
    scaled = scale(torch.from_numpy(features_VKD))
    assert not scaled[:, 0, :2].any()
    np.testing.assert_allclose(scaled[:, 0, 2].std(correction=0), 1.0, rtol=1e-5)
    assert not scale(torch.full((1, 1, 3), 7.0))[0, 0, :2].any()
