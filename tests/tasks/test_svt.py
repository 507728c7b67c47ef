"""SVT: DINO's machinery, each part against an independent calculation."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import closing

import pytest
import torch
from torch import Tensor, nn

from config.schema import Config
from data_utils.batches.loader import Loader
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews, make_views
from tasks import build_task
from tasks.svt import FROZEN_PROTOTYPES, SVTTask
from tasks.task import Losses, StepContext

MakeConfig = Callable[..., Config]
SVT = (
    "svt={out_dim: 22, hidden_dim: 26, bottleneck_dim: 18, local_views: 3, global_scale: [0.5, 1.0]}",
    "svt={local_scale: [0.2, 0.4], local_time: [0.3, 0.6], student_temperature: 0.1, teacher_temperature: 0.08}",
    "svt={warmup_teacher_temperature: 0.04, teacher_warmup: 0.5, centre_momentum: 0.9}",
    "svt={momentum: 0.9, final_momentum: 1.0}",
)


def make_task(tiny_config: MakeConfig, *overrides: str) -> SVTTask:
    torch.manual_seed(0)
    return SVTTask(tiny_config("task=svt", *SVT, *overrides)).train()


def make_video(batch: int = 4, seed: int = 1) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def make_views_of(*videos: Tensor) -> TrainingViews:
    batch = len(videos[0])
    return TrainingViews(videos, (torch.arange(6).expand(batch, 6),) * len(videos), torch.arange(batch))


def five_videos(batch: int = 4) -> tuple[Tensor, ...]:
    return tuple(make_video(batch, seed) for seed in range(5))


def at(progress: float) -> StepContext:
    return StepContext(torch.Generator(), progress)


def total_of(losses: Losses) -> Tensor:
    return torch.stack([term for terms in losses.values() for term in terms.values()]).sum()


def train_a_little(task: SVTTask, steps: int = 2) -> None:
    """Moves student, teacher and centre apart."""
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.5)
    for step in range(steps):
        optimizer.zero_grad()
        total_of(task.losses(make_views_of(*five_videos()), at(0.5))).backward()
        optimizer.step()
        task.after_step((step + 1) / 10)


def entropy(scores: Tensor, temperature: float, centre: Tensor | float = 0.0) -> Tensor:
    p = torch.softmax((scores.double() - centre) / temperature, dim=-1)
    return -(p * p.log()).sum(dim=-1).mean()


# --------------------------------------------------------------------------------------------------- the views


def test_two_global_views_of_two_windows_and_then_the_local_ones(tiny_config: MakeConfig) -> None:
    config = tiny_config("task=svt", *SVT, "augmentation.crop.probability=0.5", "augmentation.flip=0.5")
    views = SVTTask(config).views
    assert [view.window for view in views] == [0, 1, 0, 1, 0]
    assert [view.time_scale for view in views] == [(1.0, 1.0)] * 2 + [(0.3, 0.6)] * 3
    given = config.augmentation.model_dump()
    for view, scale in zip(views, [[0.5, 1.0]] * 2 + [[0.2, 0.4]] * 3, strict=True):
        assert view.augmentation is not None
        wanted = given | {"crop": given["crop"] | {"probability": 1.0, "scale": scale}}
        assert view.augmentation.model_dump() == wanted


def test_without_local_views_there_are_the_two_global_ones(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "svt.local_views=0")
    assert len(task.views) == 2
    (terms,) = task.losses(make_views_of(*five_videos()[:2]), at(0.0)).values()
    assert list(terms) == ["global"]


# ---------------------------------------------------------------------------------------------------- the loss


def test_the_loss_is_the_mean_over_all_pairs_of_different_views(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    train_a_little(task)
    assert task.centre_K.any()
    videos, progress = five_videos(), 0.2
    centre = task.centre_K.double()
    (terms,) = task.losses(make_views_of(*videos), at(progress)).values()
    with torch.no_grad():
        student = [task.student(video).double() for video in videos]
        teacher = [task.teacher(video).double() for video in videos[:2]]
    temperature = 0.04 + 0.2 / 0.5 * (0.08 - 0.04)
    pairs: dict[str, list[Tensor]] = {"global": [], "local": []}
    for g, teacher_scores in enumerate(teacher):
        wanted = torch.softmax((teacher_scores - centre) / temperature, dim=-1)
        for v, student_scores in enumerate(student):
            if v != g:
                loss = -(wanted * torch.log_softmax(student_scores / 0.1, dim=-1)).sum(dim=-1).mean()
                pairs["global" if v < 2 else "local"].append(loss)
    assert {term: len(losses) for term, losses in pairs.items()} == {"global": 2, "local": 6}
    for term, losses in pairs.items():
        torch.testing.assert_close(terms[term].double(), torch.stack(losses).sum() / 8, rtol=1e-5, atol=1e-6)


def test_for_equal_outputs_and_temperatures_it_is_the_teachers_entropy(tiny_config: MakeConfig) -> None:
    temperatures = "svt={student_temperature: 0.1, teacher_temperature: 0.1, warmup_teacher_temperature: 0.1}"
    task = make_task(tiny_config, temperatures)
    video = make_video()
    loss = total_of(task.losses(make_views_of(*[video] * 5), at(0.0)))
    with torch.no_grad():
        expected = entropy(task.teacher(video), 0.1)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    sharper = make_task(tiny_config, temperatures.replace("teacher_temperature: 0.1", "teacher_temperature: 0.05"))
    assert entropy(sharper.teacher(video), 0.05) < expected


def test_scores_are_cosines_with_the_prototypes(tiny_config: MakeConfig) -> None:
    head = make_task(tiny_config).student.head
    features_ND = torch.randn(7, 24, generator=torch.Generator().manual_seed(1))
    bottleneck_ND = head.layers(features_ND)
    expected = nn.functional.cosine_similarity(bottleneck_ND[:, None], head.prototypes.weight[None], dim=2)
    torch.testing.assert_close(head(features_ND), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(features_ND), head(features_ND.float()))
        assert head(features_ND).dtype == torch.float32
    shapes = [tuple(p.shape) for p in head.parameters() if p.ndim == 2]
    assert shapes == [(26, 24), (26, 26), (18, 26), (22, 18)]


# ----------------------------------------------------------------------------------------------------- schedules


def test_the_schedules(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "svt={momentum: 0.8, final_momentum: 1.0}")
    found = [task.teacher_temperature(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([0.04, 0.06, 0.08, 0.08, 0.08])
    found = [task.following.momentum(progress) for progress in (0.0, 0.25, 0.5, 1.0)]
    assert found == pytest.approx([0.8, 0.9 - 0.1 * math.sqrt(0.5), 0.9, 1.0])
    assert make_task(tiny_config, "svt.teacher_warmup=0.0").teacher_temperature(0.0) == pytest.approx(0.08)


def test_the_prototypes_rest_at_the_beginning(tiny_config: MakeConfig) -> None:
    for progress, moves in ((0.0, False), (FROZEN_PROTOTYPES / 2, False), (FROZEN_PROTOTYPES, True), (0.9, True)):
        task = make_task(tiny_config)
        total_of(task.losses(make_views_of(*five_videos()), at(progress))).backward()
        assert (task.student.head.prototypes.weight.grad is not None) == moves
        assert all(p.grad is not None and p.grad.any() for p in task.student.encoder.parameters())


# --------------------------------------------------------------------------------------------------- the teacher


@pytest.mark.parametrize(
    "setting",
    [(), ("groups=[backbone,space,time]", "frames_per_clip=6"), ("output_batchnorm=true", "stem=cnn")],
    ids=str,
)
def test_the_teacher_moves_by_the_running_mean_alone(tiny_config: MakeConfig, setting: tuple[str, ...]) -> None:
    task = make_task(tiny_config, *setting)
    train_a_little(task)
    before = {name: p.clone() for name, p in task.teacher.named_parameters()}
    student_before = [p.clone() for p in task.student.parameters()]
    optimizer = torch.optim.AdamW(task.parameter_groups()["svt"].all(), lr=0.01)
    total_of(task.losses(make_views_of(*five_videos()), at(0.3))).backward()
    assert all(p.grad is None for p in task.teacher.parameters())
    optimizer.step()
    assert all(torch.equal(p, before[name]) for name, p in task.teacher.named_parameters())
    assert not any(map(torch.equal, task.student.parameters(), student_before))
    task.after_step(0.25)
    keep = 1.0 - 0.1 * 0.5 * (1 + math.cos(math.pi * 0.25))
    student = dict(task.student.named_parameters())
    for name, parameter in task.teacher.named_parameters():
        expected = keep * before[name].double() + (1 - keep) * student[name].detach().double()
        torch.testing.assert_close(parameter.double(), expected, rtol=1e-5, atol=1e-7)
        assert not torch.equal(parameter, before[name])


def test_a_momentum_of_one_keeps_the_teacher_and_of_zero_copies_the_student(tiny_config: MakeConfig) -> None:
    for momentum in (0.0, 1.0):
        task = make_task(tiny_config, f"svt={{momentum: {momentum}, final_momentum: {momentum}}}")
        with torch.no_grad():
            for parameter in task.student.parameters():
                parameter.add_(1.0)
        before = copy.deepcopy(task.teacher)
        task.after_step(0.5)
        expected = before if momentum else task.student
        assert all(map(torch.equal, task.teacher.parameters(), expected.parameters()))


def test_the_teacher_is_in_checkpoints_and_in_no_optimizer(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    ((name, group),) = task.parameter_groups().items()
    assert name == "svt"
    assert {id(p) for p in group.parameters} == {id(p) for p in task.student.encoder.parameters()}
    assert {id(p) for p in group.predictors} == {id(p) for p in task.student.head.parameters()}
    assert all(p.requires_grad for p in group.all())
    assert not any(p.requires_grad for p in task.teacher.parameters())
    assert task.encoder is task.teacher.encoder
    assert {f"teacher.{key}" for key in task.teacher.state_dict()} <= task.state_dict().keys()
    assert all(map(torch.equal, task.teacher.parameters(), task.student.parameters()))


def test_the_teacher_sees_without_dropout_and_noise(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "architecture_clip.dropout=0.5", "interlevel_noise=0.5", "output_batchnorm=true")
    video = make_video()
    assert not torch.equal(task.student(video), task.student(video))
    assert torch.equal(task.teacher(video), task.teacher(video))
    norms = [m for m in task.teacher.modules() if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == 3
    assert all(module.training for module in norms)
    task.eval()
    assert not any(module.training for module in task.modules())


# ---------------------------------------------------------------------------------------------------- the centre


def test_the_centre_is_the_running_mean_of_the_teachers_scores(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    centre = torch.zeros(22, dtype=torch.float64)
    for step in range(3):
        videos = tuple(make_video(4, 10 * step + number) for number in range(5))
        with torch.no_grad():
            scores = torch.cat([task.teacher(video) for video in videos[:2]]).double()
        before = task.centre_K.clone()
        task.losses(make_views_of(*videos), at(0.1))
        assert torch.equal(task.centre_K, before)  # it moves with the step
        task.after_step(0.1)
        centre = 0.9 * centre + 0.1 * scores.mean(dim=0)
        torch.testing.assert_close(task.centre_K.double(), centre, rtol=1e-5, atol=1e-7)
    assert centre.abs().max() > 1e-3


def test_parts_of_a_batch_move_the_centre_as_the_whole(tiny_config: MakeConfig) -> None:
    whole, parts = make_task(tiny_config), make_task(tiny_config)
    videos = five_videos()
    whole.losses(make_views_of(*videos), at(0.1))
    parts.losses(make_views_of(*(video[:1] for video in videos)), at(0.1))
    parts.losses(make_views_of(*(video[1:] for video in videos)), at(0.1))
    whole.after_step(0.1)
    parts.after_step(0.1)
    torch.testing.assert_close(parts.centre_K, whole.centre_K)
    moved = whole.centre_K.clone()
    whole.after_step(0.2)  # no scores since
    assert torch.equal(whole.centre_K, moved)


def test_a_loss_in_evaluation_mode_leaves_no_trace(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "output_batchnorm=true").eval()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    assert total_of(task.losses(make_views_of(*five_videos()), at(0.1))).isfinite()
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


# ------------------------------------------------------------------------------------------------------ training


def test_a_checkpoint_holds_everything(tiny_config: MakeConfig) -> None:
    task, restored = make_task(tiny_config), make_task(tiny_config)
    train_a_little(task)
    views = make_views_of(*five_videos())
    assert not torch.equal(total_of(task.losses(views, at(0.4))), total_of(restored.losses(views, at(0.4))))
    restored.load_state_dict(task.state_dict())
    assert torch.equal(total_of(task.losses(views, at(0.4))), total_of(restored.losses(views, at(0.4))))
    for each in (task, restored):
        each.after_step(0.5)
    first, second = task.state_dict(), restored.state_dict()
    # The last loss of `task` before its state was taken is in the sums of both.
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_learns_from_real_videos(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog]) -> None:
    config = tiny_config("task=svt", *SVT)
    torch.manual_seed(0)
    task = build_task(config, tiny_catalogs["train"]).train()
    group = task.parameter_groups()["svt"]
    optimizer = torch.optim.AdamW(group.all(), lr=1e-3)
    before = copy.deepcopy(task.encoder)
    with closing(
        Loader(tiny_catalogs["train"], config, config.batch_size, config.seed, training=True, second_window=True)
    ) as batches:
        for number, batch in enumerate(batches.epoch(0)):
            views = make_views(batch, task.views, config, config.seed, 0)
            assert {tuple(video.shape) for video in views.videos} == {(8, 6, 3, 16, 24)}
            total = total_of(task.losses(views, at(number / 3)))
            assert 0 < total < 2 * math.log(22)
            optimizer.zero_grad()
            total.backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in group.parameters)
            optimizer.step()
            task.after_step((number + 1) / 3.5)
    assert not any(map(torch.equal, task.encoder.parameters(), before.parameters()))
