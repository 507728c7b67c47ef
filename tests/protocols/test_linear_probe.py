"""The linear probe: chosen on validation videos, trained on views, scored by the mean over the views of a video."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_utils.catalog.annotations.classes import UNKNOWN
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from protocols.linear_probe import TITLE, LinearProbe, LinearProbeSettings, probe_scores
from protocols.predictions import MultiPredictions, Predictions
from protocols.probes import order
from protocols.probes.linear import LinearProbing
from protocols.probes.material import Material
from protocols.probes.scoring import probed
from protocols.protocol import Score, Subject
from tests.protocols.clouds import SPACE, clusters, encoded, label_set, rng, values
from tests.protocols.probes.samples import CPU, multi_set, noisy, viewed

DEFAULTS = LinearProbeSettings()
FEW: dict[str, Any] = {"lr": [0.1, 0.5], "weight_decay": [0.001], "epochs": 8, "batch_size": 32}
LBFGS = LinearProbeSettings(solver="lbfgs")


def run(
    splits: Mapping[str, EncodedSplit],
    asked: str = "test",
    labels: Mapping[str, Sequence[str]] = SPACE,
    seed: int = 0,
    limit: int | None = None,
    **settings: Any,
) -> tuple[list[Score], list[Any]]:
    """Scores, and the predictions that were kept."""
    of = LinearProbeSettings(**(FEW | settings))
    probe = LinearProbing(TITLE, Material(splits, asked, CPU, seed), of)
    probe.limit = limit or probe.limit
    kept: list[Any] = []
    return probed(probe, labels, of.entries(), of.middle(), kept.append), kept


def secondary(scores: list[Score]) -> dict[str, float]:
    return {score.metric: score.value for score in scores if not score.primary}


@pytest.fixture(scope="module")
def splits() -> dict[str, EncodedSplit]:
    return {"train": noisy(300, 1), "val": noisy(80, 2), "test": noisy(120, 3)}


# --------------------------------------------------------------------------------------------- what it can tell


@pytest.mark.parametrize("settings", [DEFAULTS, LBFGS])
def test_a_probe_finds_separable_classes_and_nothing_in_noise(settings: LinearProbeSettings) -> None:
    known, asked = rng().integers(4, size=(300, 1)), rng(1).integers(4, size=(200, 1))
    train = encoded(clusters(known, noise=0.2), label_set(known))
    test = encoded(clusters(asked, noise=0.2, seed=5), label_set(asked))
    assert values(probe_scores(train, test, SPACE, settings)) == {"space": {"motion": 100.0}}
    noise = encoded(rng(7).normal(size=(200, 1, 8)).astype(np.float32), label_set(asked))
    others = encoded(rng(8).normal(size=(300, 1, 8)).astype(np.float32), label_set(known))
    assert 12 < values(probe_scores(others, noise, SPACE, settings))["space"]["motion"] < 38


@pytest.mark.parametrize("settings", [DEFAULTS, LBFGS])
def test_a_probe_of_a_single_class_names_it(settings: LinearProbeSettings) -> None:
    train = encoded(rng().normal(size=(12, 1, 3)).astype(np.float32), label_set([[2]] * 12))
    test = encoded(rng(1).normal(size=(4, 1, 3)).astype(np.float32), label_set([[2], [1], [2], [2]]))
    assert values(probe_scores(train, test, SPACE, settings)) == {"space": {"motion": 75.0}}


def test_it_is_as_good_as_a_logistic_regression(splits: dict[str, EncodedSplit]) -> None:
    of_grid = probe_scores(splits["train"], splits["test"], SPACE, DEFAULTS, splits["val"])[0]
    of_lbfgs = probe_scores(splits["train"], splits["test"], SPACE, LBFGS)[0]
    assert of_grid.interval is not None
    assert of_grid.value >= of_lbfgs.value - of_grid.interval
    assert of_lbfgs.value > 60


@pytest.mark.parametrize("solver", ["grid", "lbfgs"])
def test_a_class_that_only_the_test_has_is_wrong(solver: str) -> None:
    known, asked = rng().integers(3, size=(60, 1)), np.array([[0], [1], [3], [3]])
    train = encoded(clusters(known, noise=0.1), label_set(known))
    centres = np.concatenate([asked, [[3]]])
    test = encoded(clusters(centres, noise=0.1, seed=4)[:4], label_set(asked))
    scores = probe_scores(train, test, SPACE, LinearProbeSettings(solver=solver))  # type: ignore[arg-type]
    assert values(scores) == {"space": {"motion": 50.0}}


@pytest.mark.parametrize("solver", ["grid", "lbfgs"])
def test_several_classes_at_once_are_scored_by_mean_average_precision(solver: str) -> None:
    features = rng().normal(size=(400, 1, 5)).astype(np.float32)
    kept: list[Any] = []
    shows_NC = features[:, 0] @ rng(1).normal(size=(5, 4)) + rng(2).normal(size=(400, 4)) > 1
    shows_NC[:300, 3] = False  # a class that no training video shows
    parts = [
        viewed(features[rows], np.arange(100), multi_set(shows_NC[rows], np.arange(100) % 10 > 0))
        for rows in (slice(0, 100), slice(200, 300), slice(300, 400))
    ]
    settings = LinearProbeSettings(solver=solver, **(FEW if solver == "grid" else {}))  # type: ignore[arg-type]
    material = Material(dict(zip(("train", "val", "test"), parts, strict=True)), "test", CPU, 0)
    if solver == "grid":
        probe = LinearProbing(TITLE, material, settings)
        scores = probed(probe, {"space": ["shows"]}, settings.entries(), settings.middle(), kept.append)
    else:
        from protocols.probes.logistic import logistic_scores

        scores = logistic_scores(material, {"space": ["shows"]}, settings, kept.append)
    (predictions,) = kept
    assert isinstance(predictions, MultiPredictions)
    known = np.arange(100) % 10 > 0
    each = [average_precision_score(shows_NC[300:][known, c], predictions.scores_NC[known, c]) for c in range(4)]
    assert scores[0].metric == "mAP"
    assert scores[0].value == pytest.approx(100 * np.mean(each))
    assert np.mean(each[:3]) > 0.6
    assert not predictions.scores_NC[:, 3].any()


# ------------------------------------------------------------------------------------------------- the choice


def test_validation_chooses_and_what_it_chose_is_told(
    splits: dict[str, EncodedSplit], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scores, _ = run(splits, lr=[1e-6, 0.3, 1e30], weight_decay=[0.0, 0.01])
    told = secondary(scores)
    assert told["lr"] == pytest.approx(0.3)
    alone, _ = run(splits, lr=[0.3], weight_decay=[told["weight_decay"]])
    assert values(scores) == values(alone)
    on_val, _ = run({"train": splits["train"], "test": splits["val"]}, lr=[0.3], weight_decay=[told["weight_decay"]])
    assert values(on_val)["space"]["motion"] == pytest.approx(told["choosing_score"])
    wanted = (
        f"linear probe of space, chosen on 80 validation videos: motion lr 0.3, weight decay {told['weight_decay']:g}"
    )
    assert f"{wanted} ({told['choosing_score']:.1f} %)" in caplog.text
    assert "choosing_score" not in secondary(alone)  # there was nothing to choose


def test_labels_of_the_test_choose_nothing(splits: dict[str, EncodedSplit]) -> None:
    scores, _ = run(splits)
    test = splits["test"]
    changed = rng(5).permutation(test.labels["motion"].values)
    other = run(splits | {"test": replace(test, labels={"motion": label_set(changed)})})[0]
    assert values(scores) != values(other)
    assert [secondary(each)[name] for each in (scores, other) for name in ("lr", "weight_decay")][:2] == [
        secondary(other)[name] for name in ("lr", "weight_decay")
    ]


def test_where_validation_is_scored_training_videos_choose_and_all_are_learned_from(
    splits: dict[str, EncodedSplit], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    groups = np.array([f"person {number % 6}" for number in range(300)], object)
    train = replace(splits["train"], groups=groups)
    both = {"train": train, "val": splits["val"]}
    scores, kept = run(both, asked="val")
    assert (
        "chosen on 100 training videos, held out in whole groups, since the validation videos are scored" in caplog.text
    )
    told = secondary(scores)
    alone, kept_alone = run(both, asked="val", lr=[told["lr"]], weight_decay=[told["weight_decay"]])
    np.testing.assert_allclose(kept[0].probabilities_NKC, kept_alone[0].probabilities_NKC, atol=1e-6)
    assert values(scores) == values(alone)


def test_the_middle_is_taken_where_nobody_can_choose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scores, _ = run({"train": noisy(9, 1), "test": noisy(20, 2)}, lr=[1.0, 0.01, 0.1], weight_decay=[0.02, 0.01])
    assert secondary(scores)["lr"] == pytest.approx(0.1)
    assert "choosing_score" not in secondary(scores)
    assert "not chosen, since 9 training videos have labels: motion lr 0.1, weight decay 0.02" in caplog.text


# ----------------------------------------------------------------------------------------- views, parts, labels


def test_videos_are_scored_by_the_mean_over_their_views() -> None:
    splits = {"train": noisy(100, 1, views=2, parts=2), "val": noisy(40, 2, views=2, parts=2)}
    test = noisy(50, 3, views=3, parts=2)
    shown = np.ones((150, 2), np.float32)
    shown[::3, 1] = 0  # every first view shows nothing of the second part
    spoiled = test.views[2]["space"].copy()
    spoiled[::3, 1] = 1e6
    test = replace(test, views={2: {"space": spoiled}}, view_shown={2: shown})
    scores, (predictions,) = run(splits | {"test": test})
    assert isinstance(predictions, Predictions)
    assert predictions.views is not None
    of_views = predictions.views.probabilities_VKC.reshape(50, 3, 2, 4)
    np.testing.assert_allclose(predictions.probabilities_NKC[:, 0], of_views[:, :, 0].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(predictions.probabilities_NKC[:, 1], of_views[:, 1:, 1].mean(axis=1), atol=1e-6)
    truth = test.labels["motion"].values
    right = of_views.argmax(axis=3) == truth[:, None]
    told = secondary(scores)
    assert told["acc"] == pytest.approx(100 * right.reshape(150, 2)[shown > 0].mean())
    assert told["acc_mv"] == scores[0].value > told["acc"]


def test_every_view_is_a_sample_that_is_learned_from() -> None:
    """Class 1 shows in the second views alone: their means would be all the same."""
    values_N1 = np.arange(80)[:, None] % 2
    sign = np.where(values_N1[:, 0] == 1, 1.0, -1.0)
    views = np.stack([np.zeros(80), sign], axis=1).reshape(160, 1, 1)
    views = np.concatenate([views, np.tile([-1.0, 1.0], 80).reshape(160, 1, 1)], axis=2)  # which of the two it is
    split = viewed(views, np.repeat(np.arange(80), 2), label_set(values_N1))
    asked = viewed(views[1::2], np.arange(80), label_set(values_N1))
    assert values(run({"train": split, "val": split, "test": asked})[0]) == {"space": {"motion": 100.0}}


def test_a_video_without_a_label_is_neither_learned_from_nor_scored(splits: dict[str, EncodedSplit]) -> None:
    def spoiled(split: EncodedSplit, every: int) -> EncodedSplit:
        unknown = np.arange(len(split.rows)) % every == 0
        known = np.where(unknown[:, None], UNKNOWN, split.labels["motion"].values)
        features = np.where(unknown[:, None, None], np.float32(1e5), split.views[1]["space"])
        return replace(split, views={1: {"space": features}}, labels={"motion": label_set(known)})

    def without(split: EncodedSplit, every: int) -> EncodedSplit:
        keep = np.arange(len(split.rows)) % every > 0
        return viewed(
            split.views[1]["space"][keep], np.arange(keep.sum()), label_set(split.labels["motion"].values[keep])
        )

    marked = run({name: spoiled(split, 4) for name, split in splits.items()})
    gone = run({name: without(split, 4) for name, split in splits.items()})
    assert values(marked[0]) == values(gone[0])
    assert secondary(marked[0]) == secondary(gone[0])
    nobody = replace(splits["test"], labels={"motion": label_set(np.full((120, 1), UNKNOWN))})
    assert run(splits | {"test": nobody}) == ([], [])


def test_the_scale_of_features_does_not_matter_with_batchnorm_and_does_without(
    splits: dict[str, EncodedSplit],
) -> None:
    def scaled(split: EncodedSplit) -> EncodedSplit:
        return replace(split, views={1: {"space": split.views[1]["space"] * np.float32(1000) + 7}})

    larger = {name: scaled(split) for name, split in splits.items()}
    with_it, without = (
        [run(each, batchnorm=batchnorm)[1][0].probabilities_NKC for each in (splits, larger)]
        for batchnorm in (True, False)
    )
    np.testing.assert_allclose(with_it[0], with_it[1], atol=1e-3)
    assert np.abs(without[0] - without[1]).max() > 0.1


# ---------------------------------------------------------------------------------------------- memory and seed


def test_the_result_is_the_same_in_one_block_and_in_many(
    splits: dict[str, EncodedSplit], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(order, "POOL", 64)
    monkeypatch.setattr("protocols.probes.linear.POOL", 64)
    monkeypatch.setattr("protocols.probes.linear.BLOCK", 16)
    in_one = run(splits)
    assert "2 classifiers of 4 classes, all at once" in caplog.text
    assert "features of 300 views, 0.0 MB" in caplog.text
    of_grid = 2 * (4 * 4 * (3 * 7 + 3 * 32) + 4 * 80 * 4)  # 32 views of a step, 80 videos that choose
    in_many = run(splits, limit=of_grid + 4000)
    assert "2 classifiers of 4 classes, 1 at once" in caplog.text
    assert "features of 300 views, 64 at a time" in caplog.text
    for one, many in zip(in_one[1], in_many[1], strict=True):
        np.testing.assert_allclose(one.probabilities_NKC, many.probabilities_NKC, atol=1e-6)
    assert values(in_one[0]) == values(in_many[0])
    assert {name: secondary(in_one[0])[name] for name in ("lr", "choosing_score")}.items() <= secondary(
        in_many[0]
    ).items()
    whole, pools = (run(splits, lr=[0.1], limit=limit)[1][0].probabilities_NKC for limit in (None, 4000))
    assert whole.tobytes() == pools.tobytes()


def test_the_same_seed_gives_the_same_bytes(splits: dict[str, EncodedSplit]) -> None:
    first, same, other = (run(splits, seed=seed)[1][0].probabilities_NKC.tobytes() for seed in (0, 0, 1))
    assert first == same
    assert first != other


# ----------------------------------------------------------------------------------------- the earlier solver


def test_lbfgs_gives_the_numbers_of_earlier_versions(splits: dict[str, EncodedSplit]) -> None:
    known, asked = splits["train"].features[1]["space"][:, 0], splits["test"].features[1]["space"][:, 0]
    truth = splits["test"].labels["motion"].values[:, 0]
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=50))
    regression.fit(known, splits["train"].labels["motion"].values[:, 0])
    settings = LinearProbeSettings.model_validate({"inverse_penalty": 0.03, "max_iter": 50})
    found = probe_scores(splits["train"], splits["test"], SPACE, settings)
    assert found[0].value == pytest.approx(100 * regression.score(asked, truth))


def test_a_config_of_an_earlier_version_means_the_solver_of_then() -> None:
    assert LinearProbeSettings().solver == "grid"
    for earlier in ({"max_iter": 100}, {"inverse_penalty": 0.1}, {"inverse_penalty": 0.1, "max_iter": 300}):
        assert LinearProbeSettings.model_validate(earlier).solver == "lbfgs"
    assert LinearProbeSettings.model_validate(DEFAULTS.model_dump()) == DEFAULTS  # which says both
    for wrong, said in (
        ({"solver": "grid", "max_iter": 100}, "solver: grid does not use max_iter; leave it out, or use solver: lbfgs"),
        ({"max_iter": 100, "epochs": 5}, "solver: lbfgs does not use epochs; leave it out, or use solver: grid"),
    ):
        with pytest.raises(ValidationError, match=said):
            LinearProbeSettings.model_validate(wrong)


# ------------------------------------------------------------------------------------------ with a real encoder


@pytest.mark.parametrize("augment", [False, True])
def test_the_encoder_stays_as_it_was(
    augment: bool,
    tiny_data: Callable[..., EncodedData],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("protocols.probes.progress.EVERY", 0.0)
    data = tiny_data("hierarchy.output_batchnorm=true", "augmentation.flip=0.5")
    before = {name: values.clone() for name, values in data.encoder.state_dict().items()}
    assert any("running_mean" in name for name in before)
    data.encoder.train()
    labels = {level: ["program", "motion", "digit"] for level in ("space", "clip")}
    protocol = LinearProbe(LinearProbeSettings(**(FEW | {"epochs": 2}), augment=augment))
    first, again = (protocol.score(Subject(data, "test", labels, {})) for _ in range(2))
    assert [(score.level, score.labels) for score in first if score.metric == "top1"] == [
        (level, name) for level, names in labels.items() for name in names
    ]
    assert first == again
    assert data.encoder.training
    for name, values_now in data.encoder.state_dict().items():
        assert torch.equal(values_now, before[name]), name
    assert ("linear probe on augmented windows: epoch 2 of 2, " in caplog.text) == augment
    assert ("linear probe of clip on motion: epoch 2 of 2, " in caplog.text) != augment


def test_augmented_windows_are_what_is_learned_from(tiny_data: Callable[..., EncodedData]) -> None:
    """Without augmentation, and with windows that are the whole video, they are the windows of evaluation."""
    whole = "window={length: 6, frequency: 3, step: null, max_seq_per_video: 1, eval_windows: 1}"
    nothing = [f"augmentation.{each}.probability=0" for each in ("crop", "color_jitter")] + ["augmentation.grayscale=0"]
    common = FEW | {"lr": [0.1], "batch_size": 24, "epochs": 3}
    labels = {"clip": ["motion"]}
    kept: list[Any] = []
    for more, augment in ((), True), ((), False), (("augmentation.flip=1.0",), True):
        data = tiny_data(whole, "batch_size=24", *nothing, *more)
        protocol = LinearProbe(LinearProbeSettings(**common, augment=augment))
        protocol.score(Subject(data, "test", labels, {}, keep=kept.append))
    plain, encoded_once, flipped = (predictions.probabilities_NKC for predictions in kept)
    np.testing.assert_allclose(plain, encoded_once, atol=1e-4)
    assert np.abs(plain - flipped).max() > 1e-3
