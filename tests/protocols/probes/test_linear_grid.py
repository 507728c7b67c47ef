"""A grid of linear classifiers trains each of them as if it were alone, and to the optimum that scikit-learn finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from protocols.probes.entries import Entry, grid
from protocols.probes.feature_rows import Scale
from protocols.probes.linear_grid import LinearGrid
from protocols.probes.targets import Targets
from schedules import half_cosine
from tests.protocols.clouds import clusters, label_set, rng
from tests.protocols.probes.samples import CPU, multi_set

ENTRIES = grid([0.03, 0.3], [0.0, 0.01])


def batches(parts: int, dim: int, targets: Targets, steps: int = 12) -> list[tuple[Tensor, Tensor, Tensor]]:
    videos, found = len(targets.known_N), []
    for number in range(steps):
        generator = rng(number)
        video_B = generator.integers(videos, size=16)
        weight_BK = torch.from_numpy(generator.random((16, parts)) < 0.8).float()
        features_BKD = torch.from_numpy(generator.normal(size=(16, parts, dim)).astype(np.float32))
        found.append((features_BKD, targets.of(video_B), weight_BK))
    return found


def trained(entries: list[Entry], targets: Targets, dim: int, scale: Scale | None = None) -> LinearGrid:
    learner = LinearGrid.untrained(targets, entries, dim, scale)
    steps = batches(targets.parts, dim, targets)
    for number, batch in enumerate(steps):
        learner.step(*batch, progress=number / len(steps))
    return learner


@pytest.fixture(params=["parts", "several"])
def targets(request: pytest.FixtureRequest) -> Targets:
    if request.param == "parts":
        return Targets(label_set(rng().integers(4, size=(30, 2))), CPU)
    return Targets(multi_set(rng().random((30, 5)) < 0.4), CPU)


def test_every_entry_is_trained_as_if_it_were_alone(targets: Targets) -> None:
    together = trained(ENTRIES, targets, dim=5)
    assert together.weight_KDGS.abs().amin(dim=(0, 1, 3)).shape == (4,)
    for number, entry in enumerate(ENTRIES):
        alone = trained([entry], targets, dim=5)
        chosen = together.only(number)
        assert chosen.entries == [entry]
        torch.testing.assert_close(alone.weight_KDGS, chosen.weight_KDGS, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone.bias_K1GS, chosen.bias_K1GS, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(together.weight_KDGS[:, :, 0], together.weight_KDGS[:, :, 1])  # the decay matters


def test_steps_are_those_of_torchs_sgd(targets: Targets) -> None:
    entry = Entry(0.3, 0.01)
    classifiers = [nn.Linear(5, targets.outputs) for _ in range(targets.parts)]
    for classifier in classifiers:
        for parameter in classifier.parameters():
            nn.init.zeros_(parameter)
    weights = [classifier.weight for classifier in classifiers]
    biases = [classifier.bias for classifier in classifiers]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": entry.weight_decay}, {"params": biases}]
    optimizer = torch.optim.SGD(groups, lr=entry.lr, momentum=0.9, nesterov=True)
    steps = batches(targets.parts, 5, targets)
    for number, (features_BKD, target_BKS, weight_BK) in enumerate(steps):
        logits_BKS = torch.stack([each(features_BKD[:, part]) for part, each in enumerate(classifiers)], dim=1)
        for group in optimizer.param_groups:
            group["lr"] = entry.lr * half_cosine(1.0, 0.0, number / len(steps))
        optimizer.zero_grad()
        targets.losses(logits_BKS[None], target_BKS, weight_BK).sum().backward()
        optimizer.step()
    ours = trained([entry], targets, dim=5)
    for part, classifier in enumerate(classifiers):
        torch.testing.assert_close(ours.weight_KDGS[part, :, 0].T, classifier.weight.detach(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(ours.bias_K1GS[part, 0, 0], classifier.bias.detach(), rtol=1e-4, atol=1e-6)


def fitted(features_ND: Tensor, targets: Targets, entry: Entry, steps: int = 600) -> LinearGrid:
    learner = LinearGrid.untrained(targets, [entry], features_ND.shape[1], None)
    everything = features_ND[:, None], targets.of(np.arange(len(features_ND))), torch.ones(len(features_ND), 1)
    for number in range(steps):
        learner.step(*everything, progress=number / steps)
    return learner


@pytest.mark.parametrize("noise", [0.3, 4.0])
def test_the_optimum_is_the_one_that_scikit_learn_finds(noise: float) -> None:
    values = rng().integers(4, size=(200, 1))
    features_ND = clusters(values, dim=6, noise=noise)[:, 0]
    features_ND = (features_ND - features_ND.mean(axis=0)) / features_ND.std(axis=0)
    decay = 0.01
    # The mean loss and half the decay times the squared weights is scikit-learn's objective divided by C N.
    known = LogisticRegression(C=1 / (decay * 200), tol=1e-10, max_iter=10000).fit(features_ND, values[:, 0])
    learner = fitted(torch.from_numpy(features_ND), Targets(label_set(values), CPU), Entry(0.3, decay))
    ours = learner.targets.probabilities(learner.logits((torch.from_numpy(features_ND)[:, None],)))[0, :, 0].numpy()
    np.testing.assert_allclose(ours, known.predict_proba(features_ND), atol=2e-3)
    np.testing.assert_allclose(learner.weight_KDGS[0, :, 0].T.numpy(), known.coef_, atol=5e-3)


def test_several_classes_at_once_are_as_many_regressions() -> None:
    features_ND = rng().normal(size=(150, 4)).astype(np.float32)
    shows_NC = features_ND @ rng(1).normal(size=(4, 3)) + rng(2).normal(size=(150, 3)) > 0.5
    targets = Targets(multi_set(shows_NC), CPU)
    learner = fitted(torch.from_numpy(features_ND), targets, Entry(0.3, 0.02))
    ours = learner.targets.probabilities(learner.logits((torch.from_numpy(features_ND)[:, None],)))[0, :, 0].numpy()
    for number in range(3):
        known = LogisticRegression(C=1 / (0.02 * 150), tol=1e-10, max_iter=10000).fit(features_ND, shows_NC[:, number])
        np.testing.assert_allclose(ours[:, number], known.predict_proba(features_ND)[:, 1], atol=2e-3)


def test_a_weight_of_zero_is_as_good_as_a_sample_that_is_not_there() -> None:
    targets = Targets(label_set(rng().integers(4, size=(10, 1))), CPU)
    features_BKD = torch.from_numpy(rng(1).normal(size=(10, 1, 3)).astype(np.float32))
    weight_BK = torch.ones(10, 1)
    weight_BK[6:] = 0
    spoiled = features_BKD.clone()
    spoiled[6:] = 50.0
    few, all_of_them = (LinearGrid.untrained(targets, ENTRIES, 3, None) for _ in range(2))
    few.step(features_BKD[:6], targets.of(np.arange(6)), torch.ones(6, 1), progress=0.0)
    all_of_them.step(spoiled, targets.of(np.arange(10)), weight_BK, progress=0.0)
    torch.testing.assert_close(few.weight_KDGS, all_of_them.weight_KDGS)
    nothing = LinearGrid.untrained(targets, ENTRIES, 3, None)
    nothing.step(features_BKD, targets.of(np.arange(10)), torch.zeros(10, 1), progress=0.0)
    assert not nothing.weight_KDGS.any()


def test_features_are_scaled_before_they_are_used() -> None:
    targets = Targets(label_set(rng().integers(4, size=(30, 2))), CPU)
    scale = Scale(torch.tensor([[1.0] * 5, [2.0] * 5]), torch.tensor([[4.0] * 5, [0.5] * 5]))
    scaled = trained(ENTRIES, targets, dim=5, scale=scale)
    by_hand = LinearGrid.untrained(targets, ENTRIES, 5, None)
    steps = batches(2, 5, targets)
    for number, (features_BKD, target_BKS, weight_BK) in enumerate(steps):
        moved = torch.stack([(features_BKD[:, 0] - 1) / 4, (features_BKD[:, 1] - 2) / 0.5], dim=1)
        by_hand.step(moved, target_BKS, weight_BK, progress=number / len(steps))
    torch.testing.assert_close(scaled.weight_KDGS, by_hand.weight_KDGS)
