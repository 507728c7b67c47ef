"""The attentive probe with a real encoder: tokens or units, parts, several classes at once, several views."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_utils.catalog.catalog import Catalog
from protocols.attentive_probe import AttentiveProbe, AttentiveProbeSettings
from protocols.encoded import EncodedData
from protocols.predictions import MultiPredictions, Predictions
from protocols.protocol import Score, Subject
from tests.protocols.probes.samples import multi_set

FEW: dict[str, Any] = {"lr": [0.001, 0.01], "epochs": 2, "batch_size": 10, "heads": 2}
LABELS = {level: ["program", "motion"] for level in ("space", "clip")}


def run(data: EncodedData, labels: Any = LABELS, split: str = "test", **settings: Any) -> tuple[list[Score], list[Any]]:
    """Scores, and the predictions that were kept."""
    kept: list[Any] = []
    protocol = AttentiveProbe(AttentiveProbeSettings(**(FEW | settings)))
    return protocol.score(Subject(data, split, labels, {}, seed=data.config.seed, keep=kept.append)), kept


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("tokens", ["tokens", "units"])
def test_every_level_and_label_set_is_scored_and_the_encoder_stays_as_it_was(
    tokens: str, split: str, tiny_data: Callable[..., EncodedData], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = tiny_data("hierarchy.output_batchnorm=true")
    before = {name: values.clone() for name, values in data.encoder.state_dict().items()}
    data.encoder.train()
    scores, kept = run(data, tokens=tokens, split=split)
    assert [(score.level, score.labels) for score in scores if score.metric == "top1"] == [
        (level, name) for level, names in LABELS.items() for name in names
    ]
    assert {score.metric for score in scores} >= {"top1", "acc", "acc_mv", "lr", "weight_decay", "choosing_score"}
    by = "12 validation videos" if split == "test" else "5 training videos, held out"
    assert f"attentive probe of clip, chosen on {by}" in caplog.text
    assert data.encoder.training
    assert all(torch.equal(values, before[name]) for name, values in data.encoder.state_dict().items())
    for predictions in kept:
        assert isinstance(predictions, Predictions)
        assert predictions.views is not None
        np.testing.assert_allclose(predictions.probabilities_NKC.sum(axis=2), 1, atol=1e-5)
        of_views = predictions.views.of_videos(len(predictions.rows_N))
        np.testing.assert_allclose(predictions.probabilities_NKC, of_views, atol=1e-6)


def test_the_same_seed_gives_the_same_bytes_from_memory_and_from_a_file(
    tiny_data: Callable[..., EncodedData], tmp_path: Path
) -> None:
    labels = {"space": ["motion"]}

    def bytes_of(*overrides: str, folder: Path | None = None, **settings: Any) -> bytes:
        found: bytes = run(tiny_data(*overrides, folder=folder), labels, **settings)[1][0].probabilities_NKC.tobytes()
        return found

    first = bytes_of()
    assert first == bytes_of() == bytes_of("features_memory_mb=0", folder=tmp_path / "features")
    assert first != bytes_of(dropout=0.5) == bytes_of(dropout=0.5)
    assert first != bytes_of("seed=1")
    assert first != bytes_of(queries=2)
    assert first != bytes_of(mlp_ratio=0.0)


def test_tokens_that_have_no_room_are_encoded_anew(
    tiny_data: Callable[..., EncodedData], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("protocols.encoded_tokens._DISK_SHARE", 0.0)
    data = tiny_data("features_memory_mb=0")
    scores, _ = run(data, {"clip": ["program", "motion"]})
    assert "they are encoded anew in every epoch" in caplog.text
    assert [score.labels for score in scores if score.metric == "top1"] == ["program", "motion"]


def test_the_grid_is_trained_in_rounds_where_memory_is_short(
    tiny_data: Callable[..., EncodedData], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    labels = {"clip": ["program"]}
    at_once = run(tiny_data(), labels)[1][0].probabilities_NKC
    assert "classes, all at once" in caplog.text
    monkeypatch.setattr(
        "protocols.probes.attentive_grid.Form.bytes", lambda *_: 3 * 10**9
    )  # of 4 GB, half for the grid
    one_by_one = run(tiny_data(), labels)[1][0].probabilities_NKC
    assert "classes, 1 at once" in caplog.text
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-4)


def test_several_classes_at_once_and_videos_that_nobody_has_annotated(
    tiny_data: Callable[..., EncodedData],
) -> None:
    data = tiny_data()
    shows = {
        split: multi_set(np.arange(3 * count).reshape(count, 3) % 4 < 2, np.arange(count) % 5 > 0)
        for split, count in (("train", 24), ("val", 12), ("test", 12))
    }
    for split, labels in shows.items():
        data._encoded[split, len(labels.is_known)] = replace(data.split(split), multi={"shows": labels})
    scores, (predictions,) = run(data, {"time": ["shows"]})
    assert isinstance(predictions, MultiPredictions)
    assert [score.metric for score in scores if score.primary] == ["mAP"]
    assert ((predictions.scores_NC > 0) & (predictions.scores_NC < 1)).all()


def test_it_learns_what_the_tokens_show(
    tiny_data: Callable[..., EncodedData], tiny_catalogs: dict[str, Catalog]
) -> None:
    """With the training videos as test, more epochs come closer to knowing them by heart."""
    data = tiny_data()
    data.catalogs = {**data.catalogs, "test": data.catalogs["train"]}
    labels = {"space": ["program"]}
    little, much = (
        next(score.value for score in run(data, labels, lr=[0.01], epochs=epochs)[0] if score.metric == "top1")
        for epochs in (1, 25)
    )
    assert much > max(60, little)
