"""The one teacher, against the two loops that it took the place of: bit by bit."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from schedules import half_cosine
from tasks.teacher import Following


def make_student() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train()


def make_input(seed: int) -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))


def train_a_step(student: nn.Module, seed: int) -> None:
    student(make_input(seed)).square().sum().backward()
    with torch.no_grad():
        for parameter in student.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
            parameter.grad = None


@pytest.mark.parametrize("own_statistics", [False, True])
def test_after_some_steps_it_is_what_the_plain_loop_makes(own_statistics: bool) -> None:
    student = make_student()
    following = Following(student, 0.8, 1.0, own_statistics=own_statistics)
    by_hand = deepcopy(student)
    by_hand.eval()
    for module in by_hand.modules():
        if own_statistics and isinstance(module, nn.BatchNorm1d):
            module.train()
    for step in range(1, 5):
        train_a_step(student, step)
        for teacher in (following.teacher, by_hand):
            teacher(make_input(10 + step))
        following.follow(step / 5)
        with torch.no_grad():
            for own, followed in zip(by_hand.parameters(), student.parameters(), strict=True):
                own.lerp_(followed, 1 - half_cosine(0.8, 1.0, step / 5))
            if not own_statistics:
                for kept, current in zip(by_hand.buffers(), student.buffers(), strict=True):
                    kept.copy_(current)
        expected = by_hand.state_dict()
        for name, value in following.teacher.state_dict().items():
            assert torch.equal(value, expected[name]), name
    followed_statistics = torch.equal(following.teacher[1].running_mean, student[1].running_mean)  # type: ignore[arg-type]
    assert followed_statistics == (not own_statistics)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("own_statistics", [False, True])
def test_only_batchnorms_that_count_for_themselves_train(own_statistics: bool, training: bool) -> None:
    following = Following(make_student(), 0.9, 1.0, own_statistics=own_statistics)
    assert [module.training for module in following.teacher] == [False, own_statistics, False, False]
    following.set_mode(training)
    assert [module.training for module in following.teacher] == [False, own_statistics and training, False, False]
    assert following.student.training


def test_it_takes_no_gradient_and_shares_no_memory_with_its_student() -> None:
    student = make_student()
    teacher = Following(student, 0.9, 1.0, own_statistics=False).teacher
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert {p.data_ptr() for p in teacher.parameters()}.isdisjoint(p.data_ptr() for p in student.parameters())


def test_a_copy_of_a_task_follows_its_own_student() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = make_student()
            self.following = Following(self.student, 0.0, 0.0, own_statistics=False)
            self.teacher = self.following.teacher

    first = Holder()
    second = deepcopy(first)
    with torch.no_grad():
        second.student[0].weight.add_(1)  # type: ignore[operator]
    second.following.follow(0.5)
    assert torch.equal(second.teacher[0].weight, second.student[0].weight)  # type: ignore[arg-type]
    assert not torch.equal(first.teacher[0].weight, second.teacher[0].weight)  # type: ignore[arg-type]
