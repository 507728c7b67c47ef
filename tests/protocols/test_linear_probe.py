from __future__ import annotations

import numpy as np

from protocols.linear_probe import LinearProbeSettings, probe_scores
from tests.protocols.clouds import SPACE, clusters, encoded, label_set, rng, values

DEFAULTS = LinearProbeSettings()


def test_a_probe_finds_separable_classes_and_nothing_in_noise() -> None:
    known, asked = rng().integers(4, size=(300, 1)), rng(1).integers(4, size=(200, 1))
    train = encoded(clusters(known, noise=0.2), label_set(known))
    assert values(
        probe_scores(train, encoded(clusters(asked, noise=0.2, seed=5), label_set(asked)), SPACE, DEFAULTS)
    ) == {"space": {"motion": 100.0}}
    noise = encoded(rng(7).normal(size=(200, 1, 8)).astype(np.float32), label_set(asked))
    others = encoded(rng(8).normal(size=(300, 1, 8)).astype(np.float32), label_set(known))
    assert 12 < values(probe_scores(others, noise, SPACE, DEFAULTS))["space"]["motion"] < 38


def test_a_probe_of_a_single_class_names_it() -> None:
    train = encoded(rng().normal(size=(6, 1, 3)).astype(np.float32), label_set([[2]] * 6))
    test = encoded(rng(1).normal(size=(4, 1, 3)).astype(np.float32), label_set([[2], [1], [2], [2]]))
    assert values(probe_scores(train, test, SPACE, DEFAULTS)) == {"space": {"motion": 75.0}}
