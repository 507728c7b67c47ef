"""protocols/finetuning/training.py: the course of a fine-tuning on a small real dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from config.errors import InputError
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import evaluation_views
from protocols.finetune import FinetuneSettings
from protocols.finetuning import training
from protocols.finetuning.targets import Targets
from protocols.finetuning.testing import predictions_of
from protocols.finetuning.training import FineTuning, fine_tuned, fitting_batch, looking_epochs, quality_of
from protocols.predictions import MultiPredictions, Predictions
from protocols.protocol import Subject
from tests.protocols.finetuning.conftest import with_several

MakeSubject = Callable[..., Subject]
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def settings_of(**changed: Any) -> FinetuneSettings:
    return FinetuneSettings(**{"epochs": 1, "augment": "none", "choose": "last", **changed})


def said_of(subject: Subject, name: str = "program", level: str = "clip", **changed: Any) -> Any:
    """What the classifier says of each video."""
    kept: list[Predictions | MultiPredictions] = []
    fine_tuned(replace(subject, keep=kept.append), level, name, settings_of(**changed))
    (said,) = kept
    return said


# ------------------------------------------------------------------------------------------------ what it leaves


def test_the_encoder_is_left_as_it_was_bit_by_bit(make_subject: MakeSubject) -> None:
    subject = make_subject("hierarchy.output_batchnorm=true", "hierarchy.space.dropout=0.2")
    encoder = subject.data.encoder.train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    state = torch.get_rng_state()
    fine_tuned(subject, "clip", "program", settings_of(drop_path=0.3, mixup=0.8, augment="strong"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(module.training for module in encoder.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_a_function_of_the_seed(make_subject: MakeSubject) -> None:
    changed: dict[str, Any] = {"augment": "strong", "mixup": 0.8, "cutmix": 1.0, "few_shot": 1, "drop_path": 0.2}
    first, again, other = (
        said_of(make_subject("hierarchy.time.dropout=0.2", seed=seed), **changed).probabilities_NKC
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# ------------------------------------------------------------------------------------------- how it is optimised


def test_layers_head_and_norm_have_rates_of_their_own(make_subject: MakeSubject) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(lr=1e-3, head_lr=5e-3, layer_decay=0.5))
    (optimizer,) = course.trainer.optimizers.values()
    names = {id(parameter): name for name, parameter in course.task.named_parameters()}
    groups = {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}
    assert set(groups) == set(names.values())
    course.trainer.pace.set([optimizer], course.trainer.total_steps // 2)
    rate = course.trainer.pace.learning_rate(course.trainer.total_steps // 2)
    assert rate > 0
    shares = {name: group["lr"] / rate for name, group in groups.items()}
    assert shares["head.weight"] == shares["head.bias"] == pytest.approx(5.0)
    assert shares["network.levels.clip.norm.weight"] == pytest.approx(1.0)
    assert shares["network.levels.clip.blocks.0.attention.to_qkv.weight"] == pytest.approx(0.5)
    assert shares["network.levels.time.blocks.0.mlp.0.weight"] == pytest.approx(0.25)
    assert shares["network.stem.project.weight"] == pytest.approx(0.0625)
    decays = {name for name, group in groups.items() if group["weight_decay"] > 0}
    assert decays == {name for name in names.values() if name.endswith("weight") and "norm" not in name}
    assert {group["weight_decay"] for group in groups.values()} == {0.0, 0.05}
    assert isinstance(optimizer, torch.optim.AdamW)


def test_without_a_rate_of_its_own_the_head_has_that_of_the_norm(make_subject: MakeSubject) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(layer_decay=0.5))
    (optimizer,) = course.trainer.optimizers.values()
    head = next(group for group in optimizer.param_groups if any(p is course.task.head.bias for p in group["params"]))
    assert head["lr_share"] == 1.0


def test_the_learning_rate_warms_up_and_falls_to_0(make_subject: MakeSubject) -> None:
    trainer = FineTuning(make_subject(), "clip", "program", settings_of(epochs=5, warmup=0.2, lr=0.01)).trainer
    rates = [trainer.pace.learning_rate(step) for step in range(trainer.total_steps + 1)]
    assert trainer.total_steps == 20
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0)


def test_the_gradient_is_clipped_as_a_whole(make_subject: MakeSubject) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(clip_grad=1e-4))
    list(course.trainer.epoch(course._loader, 0, 0, lambda _: None))
    norms = [p.grad.norm() for p in course.task.parameters() if p.grad is not None]
    assert torch.stack(norms).norm() == pytest.approx(1e-4, rel=1e-3)
    unclipped = FineTuning(make_subject(), "clip", "program", settings_of(clip_grad=None))
    assert unclipped.trainer.config.clip_grad_norm is None


def test_it_learns(make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog]) -> None:
    few = tiny_catalogs["train"].with_rows(np.arange(24) < 6)
    few = replace(few, labels={"half": LabelSet("half", ["a", "b"], np.arange(6)[:, None] % 2)})
    # A window spans its whole video, so that training and evaluation see the same one.
    spread = [f"hierarchy.{level}.weight_init=lecun" for level in ("backbone", "space", "time", "clip")]
    subject = make_subject("window.sampling=uniform", *spread, split="train", catalogs={"train": few})
    said = said_of(subject, "half", epochs=25, lr=3e-3, layer_decay=1.0, label_smoothing=0.0, batch_size=6)
    assert (said.probabilities_NKC.argmax(axis=2) == said.labels.values).all()  # by heart


def test_steps_that_are_not_finite_end_it_in_one_line(make_subject: MakeSubject) -> None:
    with pytest.raises(
        InputError, match=r"fine-tuning of clip on 'program': step \d+: .* a lower settings.lr"
    ) as caught:
        fine_tuned(make_subject("max_bad_steps=2"), "clip", "program", settings_of(lr=1e30, epochs=5, clip_grad=None))
    assert "\n" not in str(caught.value)


def test_few_videos_make_smaller_batches(make_subject: MakeSubject) -> None:
    assert FineTuning(make_subject(), "clip", "program", settings_of(batch_size=5)).trainer.steps_per_epoch == 4
    config = make_subject().data.config  # of batches of 8 windows
    assert [fitting_batch(config, videos) for videos in (1, 12, 31, 32, 1000)] == [2, 3, 7, 8, 8]


# -------------------------------------------------------------------------------------------- which videos it sees


def test_it_learns_from_few_videos_of_each_class(make_subject: MakeSubject) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(few_shot=1))
    labels = course._catalog.labels["program"].values[:, 0]
    known = make_subject().data.catalogs["train"].labels["program"].values
    assert sorted(labels) == sorted(np.unique(known))
    assert torch.equal(course.task.targets_N[:, 0], torch.from_numpy(labels))
    assert len(course._catalog.table) == len(course.task.lengths_N) == len(labels)


def test_videos_without_a_label_are_neither_learned_nor_scored(
    make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog]
) -> None:
    changed = {}
    for split, catalog in tiny_catalogs.items():
        labels = catalog.labels["program"]
        values = labels.values.copy()
        values[::3] = UNKNOWN
        changed[split] = replace(catalog, labels={"program": replace(labels, values=values)})
    subject = make_subject(catalogs=changed)
    assert len(FineTuning(subject, "clip", "program", settings_of())._catalog.table) == 16
    said = said_of(subject)
    assert said.rows_N.tolist() == [row for row in range(12) if row % 3]
    assert (said.labels.values == changed["test"].labels["program"].values[said.rows_N]).all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_without_any_label_nothing_is_done(
    make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog], split: str
) -> None:
    labels = tiny_catalogs[split].labels["program"]
    unknown = replace(labels, values=np.full_like(labels.values, UNKNOWN))
    changed = tiny_catalogs | {split: replace(tiny_catalogs[split], labels={"program": unknown})}
    assert fine_tuned(make_subject(catalogs=changed), "clip", "program", settings_of()) == []


def test_a_class_that_only_test_videos_have_counts_as_wrong(
    make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog]
) -> None:
    changed = {}
    for split, catalog in tiny_catalogs.items():
        values = np.full((len(catalog.table), 1), 1 if split == "test" else 0, np.int64)
        changed[split] = replace(catalog, labels={"program": LabelSet("program", ["known", "new"], values)})
    scores = fine_tuned(make_subject(catalogs=changed), "clip", "program", settings_of(epochs=3))
    assert (scores[0].metric, scores[0].value) == ("top1", 0.0)


# ------------------------------------------------------------------------------------------- what is said of them


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
    said = said_of(subject, "motion", "time")
    assert len(said.rows_N) == 12
    monkey = replace(subject, data=subject.data)
    longer = {name: replace(c, table=c.table.assign(frames=40)) for name, c in subject.data.catalogs.items()}
    monkey.data.catalogs = {**subject.data.catalogs, "test": longer["test"]}
    with caplog.at_level(logging.WARNING):
        assert fine_tuned(monkey, "time", "motion", settings_of()) == []
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


# --------------------------------------------------------------------------------------------- which epoch is taken


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


def test_the_last_epoch_is_taken_where_that_is_asked_for(make_subject: MakeSubject) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(epochs=2))
    course.run()
    assert course.trainer.step == course.trainer.total_steps
    assert course._judge is None


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


def test_the_console_has_a_line_for_the_beginning_and_each_look(
    make_subject: MakeSubject, caplog: pytest.LogCaptureFixture
) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(epochs=6, choose="best", validations=2))
    with caplog.at_level(logging.INFO, logger=training.__name__):
        course.run()
    beginning, *looks, end = caplog.messages
    count = sum(parameter.numel() for parameter in course.task.parameters())
    assert f"24 videos, 12 classes, 6 epochs of 4 steps; {count:,} parameters" in beginning
    assert [line.partition(":")[0] for line in looks] == [
        f"fine-tuning of clip on 'program', epoch {epoch} of 6" for epoch in (3, 6)
    ]
    assert all("% top1 on validation videos" in line and "loss " in line for line in looks)
    assert "is taken, the best one" in end
