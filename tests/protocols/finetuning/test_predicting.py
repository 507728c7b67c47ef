"""protocols/finetuning/predicting.py: the mean over windows and crops, by part, or of several classes at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import evaluation_views
from protocols.finetuning.predicting import predictions_of
from protocols.finetuning.targets import Targets
from protocols.finetuning.training import FineTuning, fine_tuned
from protocols.predictions import MultiPredictions, Predictions
from protocols.protocol import Subject
from tests.protocols.finetuning.conftest import said_of, settings_of, with_several

MakeSubject = Callable[..., Subject]
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def test_a_video_is_the_mean_of_its_windows_and_their_crops(make_subject: MakeSubject) -> None:
    subject = make_subject("load_size=[16,48]", "eval_crop=three")
    course = FineTuning(subject, "clip", "program", settings_of())
    nn.init.normal_(course.task.head.weight, generator=torch.Generator().manual_seed(1))
    labels = subject.data.catalogs["test"].labels["program"]
    found = predictions_of(course.task, subject.data, "test", Targets(labels), NO_AUTOCAST)
    assert isinstance(found, Predictions)
    assert found.views is not None
    assert np.bincount(found.views.video_V).tolist() == [2 * 3] * 12
    by_video: dict[int, list[torch.Tensor]] = {}
    with torch.no_grad():
        for batch in subject.data.windows("test"):
            views = evaluation_views(batch, subject.data.config, "cpu")
            features = course.task.network(views.video_BTCHW)["clip"][:, 0]
            for row, said in zip(views.rows_B.tolist(), course.task.head(features).softmax(dim=1), strict=True):
                by_video.setdefault(row, []).append(said)
    expected = torch.stack([torch.stack(by_video[row]).mean(dim=0) for row in range(12)])
    torch.testing.assert_close(torch.from_numpy(found.probabilities_NKC[:, 0]), expected)


def test_parts_are_learned_and_scored_one_by_one(make_subject: MakeSubject) -> None:
    said = said_of(make_subject(), "motion", "time", mixup=0.8)
    assert said.probabilities_NKC.shape == (12, 2, 4)
    np.testing.assert_allclose(said.probabilities_NKC.sum(axis=2), 1.0, rtol=1e-5)
    assert said.level == "time"


def test_a_video_whose_windows_do_not_show_all_its_parts_is_left_out(
    make_subject: MakeSubject, caplog: pytest.LogCaptureFixture
) -> None:
    beginning = "window={length: 6, frequency: 1, step: 100, max_seq_per_video: 1, eval_windows: 1}"
    subject = make_subject(beginning)
    for catalog in subject.data.catalogs.values():
        assert (catalog.table["frames"] == 16).all()  # the middle window shows both halves
    assert len(said_of(subject, "motion", "time").rows_N) == 12
    data = subject.data
    test = data.catalogs["test"]
    longer = replace(test, table=test.table.assign(frames=40))  # of which a window shows the first half alone
    data.catalogs = {**data.catalogs, "test": longer}
    with caplog.at_level(logging.WARNING):
        assert fine_tuned(subject, "time", "motion", settings_of()) == []
    assert "no window shows all that the labels of the test videos name" in caplog.text


def test_several_classes_at_once(make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog]) -> None:
    catalogs = with_several(tiny_catalogs)
    subject = make_subject(catalogs=catalogs)
    said = said_of(subject, "motions", mixup=0.8, few_shot=2, choose="best", epochs=2)
    assert isinstance(said, MultiPredictions)
    assert said.scores_NC.shape == (11, 4)
    known = catalogs["test"].annotations["motions"]
    assert isinstance(known, MultiLabelSet)
    assert (said.labels.shows_NC == known.shows_NC[1:]).all()
    (score,) = fine_tuned(subject, "clip", "motions", settings_of())
    assert (score.metric, score.labels, score.unit) == ("mAP", "motions", "%")
    assert score.chance is not None
    assert score.interval is not None
