"""protocols/finetuning/choosing.py: which epoch is taken, and where validation cannot say it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.catalog import Catalog
from protocols.finetuning.choosing import looking_epochs, quality_of
from protocols.finetuning.training import FineTuning
from protocols.predictions import Predictions
from protocols.protocol import Subject
from tests.protocols.finetuning.conftest import settings_of

MakeSubject = Callable[..., Subject]


def test_the_best_epoch_on_validation_videos_is_taken(
    make_subject: MakeSubject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(epochs=4, choose="best"))
    heads: list[torch.Tensor] = []
    qualities = iter([(0.2, 0.0), (0.6, -2.0), (0.6, -1.0), (0.1, 0.0)])

    def judged() -> tuple[str, tuple[float, float]]:
        heads.append(course.task.head.weight.detach().clone())
        return "", next(qualities)

    monkeypatch.setattr(course, "_judgement", judged)
    with caplog.at_level(logging.INFO):
        course.run()
    assert "epoch 3 is taken" in caplog.text
    assert torch.equal(course.task.head.weight, heads[2])
    assert not torch.equal(heads[2], heads[3])


def test_validation_videos_that_are_scored_choose_nothing(
    make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog], caplog: pytest.LogCaptureFixture
) -> None:
    labels = tiny_catalogs["val"].labels["program"]
    few = replace(labels, values=np.where(np.arange(12)[:, None] < 9, labels.values, UNKNOWN))
    fewer = tiny_catalogs | {"val": replace(tiny_catalogs["val"], labels={"program": few})}
    with caplog.at_level(logging.INFO):
        assert FineTuning(make_subject(split="val"), "clip", "program", settings_of(choose="best"))._judge is None
        assert FineTuning(make_subject(catalogs=fewer), "clip", "program", settings_of(choose="best"))._judge is None
    said = [message.partition(": ")[2] for message in caplog.messages if "last epoch" in message]
    assert said == [
        "the last epoch is taken, as validation videos are what is scored",
        "the last epoch is taken, as 9 validation videos have a label",
    ]


def test_it_is_looked_at_evenly_and_at_the_end() -> None:
    assert looking_epochs(30, 10) == set(range(3, 31, 3))
    assert looking_epochs(4, 10) == {1, 2, 3, 4}
    assert looking_epochs(7, 3) == {3, 5, 7}
    assert looking_epochs(7, 1) == {7}


def test_epochs_are_compared_by_accuracy_then_by_cross_entropy() -> None:
    labels = LabelSet("program", ["a", "b"], np.array([[0], [1], [UNKNOWN]]))
    probabilities = np.array([[[0.8, 0.2]], [[0.6, 0.4]], [[0.5, 0.5]]], np.float32)
    accuracy, likelihood = quality_of(Predictions("clip", labels, np.arange(3), probabilities))
    assert accuracy == 0.5
    assert likelihood == pytest.approx((np.log(0.8) + np.log(0.4)) / 2)
