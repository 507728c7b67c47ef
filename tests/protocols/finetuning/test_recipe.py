"""protocols/finetuning/recipe.py: how layers, head and norm are optimised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from protocols.finetuning.recipe import fitting_batch
from protocols.finetuning.training import FineTuning
from protocols.protocol import Subject
from tests.protocols.finetuning.conftest import settings_of

MakeSubject = Callable[..., Subject]


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


def test_few_videos_make_smaller_batches(make_subject: MakeSubject) -> None:
    assert FineTuning(make_subject(), "clip", "program", settings_of(batch_size=5)).trainer.steps_per_epoch == 4
    config = make_subject().data.config  # of batches of 8 windows
    assert [fitting_batch(config, videos) for videos in (1, 12, 31, 32, 1000)] == [2, 3, 7, 8, 8]
