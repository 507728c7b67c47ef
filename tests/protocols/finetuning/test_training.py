"""protocols/finetuning/training.py: the course of a fine-tuning on a small real dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from config.errors import InputError
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.catalog import Catalog
from protocols.finetuning import training
from protocols.finetuning.training import FineTuning, fine_tuned
from protocols.protocol import Subject
from tests.protocols.finetuning.conftest import said_of, settings_of

MakeSubject = Callable[..., Subject]


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


def test_it_learns(make_subject: MakeSubject, tiny_catalogs: dict[str, Catalog]) -> None:
    few = tiny_catalogs["train"].with_rows(np.arange(24) < 6)
    few = replace(few, labels={"half": LabelSet("half", ["a", "b"], np.arange(6)[:, None] % 2)})
    # A window spans its whole video, so that training and evaluation see much the same.
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


def test_the_last_epoch_is_taken_where_that_is_asked_for(make_subject: MakeSubject) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(epochs=2))
    course.run()
    assert course.trainer.step == course.trainer.total_steps
    assert course._judge is None


def test_the_console_has_a_line_for_the_beginning_and_each_look(
    make_subject: MakeSubject, caplog: pytest.LogCaptureFixture
) -> None:
    course = FineTuning(make_subject(), "clip", "program", settings_of(epochs=6, choose="best", validations=2))
    with caplog.at_level(logging.INFO, logger=training.__name__):
        course.run()
    beginning, *looks, end = caplog.messages
    count = sum(parameter.numel() for parameter in course.task.parameters())
    assert f"24 videos of 12 classes, 6 epochs of 4 steps; {count:,} parameters" in beginning
    assert [line.partition(":")[0] for line in looks] == [
        f"fine-tuning of clip on 'program', epoch {epoch} of 6" for epoch in (3, 6)
    ]
    assert all("% top1 on validation videos" in line and "loss " in line for line in looks)
    assert "is taken, the best one" in end


def test_windows_are_augmented_as_the_data_of_the_evaluation_say(make_subject: MakeSubject) -> None:
    subject = make_subject("augmentation.grayscale=0.7", "weak_augmentation.grayscale=0.3")
    looks = [
        FineTuning(subject, "clip", "program", settings_of(augment=kind)).task.views[0].augmentation
        for kind in ("strong", "weak", "none")
    ]
    assert [look and look.grayscale for look in looks] == [0.7, 0.3, None]
