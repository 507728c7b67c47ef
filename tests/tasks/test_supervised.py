from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from config.errors import InputError
from config.schema import Config
from data_utils.labels import LabelSet
from tasks import build_task
from tasks.hierarchical import HierarchicalTask
from tasks.supervised import SupervisedTask

MakeConfig = Callable[..., Config]


def make_labels() -> LabelSet:
    return LabelSet("program", ["a", "b", "c"], np.array([[2], [0], [1], [2], [0]], np.int64))


def make_task(tiny_config: MakeConfig, *overrides: str) -> SupervisedTask:
    torch.manual_seed(0)
    # Isolation is for the hierarchical task: the control is trained end to end whatever it says.
    return SupervisedTask(tiny_config("task=supervised", "isolation=strict", *overrides), make_labels()).train()


def test_the_loss_is_the_cross_entropy_of_the_rows_that_are_given(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    twin = copy.deepcopy(task)  # running statistics make a second call another one
    video, rows = torch.randn(3, 6, 3, 16, 24), torch.tensor([4, 2, 3])
    losses = task.losses(video, rows, torch.Generator())
    scores = twin.classifier(twin.encoder(video)["clip"][:, 0])
    assert scores.shape == (3, 3)
    assert list(losses) == ["clip"]
    assert torch.equal(losses["clip"]["cross_entropy"], F.cross_entropy(scores, torch.tensor([0, 1, 2])))


def test_it_trains_every_parameter_end_to_end(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    ((name, parameters),) = task.parameter_groups().items()
    assert name == "supervised"
    assert {id(p) for p in parameters} == {id(p) for p in task.parameters()}
    assert len(parameters) == len(list(task.parameters()))
    loss = task.losses(torch.randn(3, 6, 3, 16, 24), torch.arange(3), torch.Generator())["clip"]["cross_entropy"]
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in task.encoder.parameters())


def test_labels_are_no_part_of_a_checkpoint(tiny_config: MakeConfig) -> None:
    assert not any("labels" in name for name in make_task(tiny_config).state_dict())


def test_several_labels_per_video_are_refused(tiny_config: MakeConfig) -> None:
    labels = LabelSet("motion", ["a", "b"], np.zeros((5, 2), np.int64))
    with pytest.raises(InputError, match="one label per video, but column 'motion' has 2"):
        SupervisedTask(tiny_config("task=supervised"), labels)


def test_the_config_chooses_the_task_and_both_train_the_same_encoder(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    hierarchical = build_task(tiny_config(), make_labels())
    torch.manual_seed(0)
    supervised = build_task(tiny_config("task=supervised"), make_labels())
    assert isinstance(hierarchical, HierarchicalTask)
    assert isinstance(supervised, SupervisedTask)
    first, second = hierarchical.encoder.state_dict(), supervised.encoder.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
