"""VICReg: siamese, its published loss, and the same trainer as all tasks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from config.schema import Config
from data_utils.batches.loader import Loader
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews, View, make_views
from tasks import build_task
from tasks.task import Losses, StepContext
from tasks.vicreg import VICRegTask

MakeConfig = Callable[..., Config]
STEP = StepContext(torch.Generator())


def make_task(tiny_config: MakeConfig, *overrides: str) -> VICRegTask:
    torch.manual_seed(0)
    return VICRegTask(tiny_config("task=vicreg", *overrides)).train()


def make_video(batch: int = 4, seed: int = 1, frames: int = 6) -> Tensor:
    return torch.randn(batch, frames, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def losses_of(task: VICRegTask, *videos: Tensor) -> Losses:
    batch, frames = videos[0].shape[:2]
    frames_BT = torch.arange(frames).expand(batch, frames)
    return task.losses(TrainingViews(videos, (frames_BT,) * len(videos), torch.arange(batch)), STEP)


def published_terms(first: Tensor, second: Tensor) -> dict[str, float]:
    """The three terms, unweighted, by the equations of the paper in float64."""

    def variance(z: Tensor) -> float:
        return sum(max(0.0, 1 - float((z[:, d].var() + 1e-4).sqrt())) for d in range(z.shape[1])) / z.shape[1]

    def covariance(z: Tensor) -> float:
        matrix = torch.cov(z.T)
        return float((matrix - matrix.diag().diag()).square().sum()) / z.shape[1]

    first, second = first.double(), second.double()
    return {
        "invariance": float((first - second).square().mean()),
        "variance": variance(first) + variance(second),
        "covariance": covariance(first) + covariance(second),
    }


def test_it_looks_at_two_augmented_windows(tiny_config: MakeConfig) -> None:
    config = tiny_config("task=vicreg")
    assert VICRegTask(config).views == (View(0, config.augmentation), View(1, config.augmentation))


def test_the_loss_is_the_published_one(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "vicreg={invariance: 2.0, variance: 3.0, covariance: 5.0}")
    first, second = make_video(seed=1), make_video(seed=2)
    with torch.no_grad():
        projected = [task.projector(task.encoder(video)["clip"][:, 0]) for video in (first, second)]
    expected = published_terms(*projected)
    (terms,) = losses_of(task, first, second).values()
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(
        {"invariance": 2 * expected["invariance"], "variance": 3 * expected["variance"]}
        | {"covariance": 5 * expected["covariance"]},
        rel=1e-4,
    )


def test_the_projector_is_three_layers_of_one_width(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "vicreg.proj_dim=19", "batchnorm_momentum=0.3")
    shapes = [tuple(parameter.shape) for parameter in task.projector.parameters()]
    assert shapes == [(19, 24), (19,), (19,), (19, 19), (19,), (19,), (19, 19)]
    features_ND = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    w1, _, _, w2, _, _, w3 = task.projector.parameters()
    hidden_ND = F.relu(F.batch_norm(features_ND @ w1.T, None, None, training=True))
    hidden_ND = F.relu(F.batch_norm(hidden_ND @ w2.T, None, None, training=True))
    torch.testing.assert_close(task.projector(features_ND), hidden_ND @ w3.T)
    assert {m.momentum for m in task.projector.modules() if isinstance(m, torch.nn.BatchNorm1d)} == {0.3}


@pytest.mark.parametrize("encoder", ["hierarchical", "s3d"])
def test_the_two_windows_count_the_same(tiny_config: MakeConfig, encoder: str) -> None:
    task = make_task(tiny_config, f"encoder={encoder}", "window.length=8")
    first, second = (make_video(4, seed, frames=8) for seed in (1, 2))
    (one,), (other,) = losses_of(task, first, second).values(), losses_of(task, second, first).values()
    for name, term in one.items():
        torch.testing.assert_close(term, other[name])
    (same,) = losses_of(task, first, first).values()
    assert same["invariance"] == 0
    assert one["invariance"] > 0


@pytest.mark.parametrize(
    "setting",
    [
        ("encoder=hierarchical",),
        ("groups=[backbone,space,time]", "frames_per_clip=6"),
        ("encoder=s3d", "window.length=8"),
        ("encoder=r2plus1d_18",),
        ("encoder=mvit_v2_s",),
        ("encoder=swin3d_t",),
    ],
    ids=str,
)
def test_one_step_moves_the_encoder_and_the_projector(tiny_config: MakeConfig, setting: tuple[str, ...]) -> None:
    task = make_task(tiny_config, *setting)
    frames = 8 if "encoder=s3d" in setting else 6
    ((name, group),) = task.parameter_groups().items()
    assert name == "vicreg"
    assert {id(p) for p in group.parameters} == {id(p) for p in task.encoder.parameters()}
    assert {id(p) for p in group.predictors} == {id(p) for p in task.projector.parameters()}
    assert len(group.all()) == len(list(task.parameters()))
    (terms,) = losses_of(task, *(make_video(6, seed, frames) for seed in (1, 2))).values()
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.isfinite()
    for parameter_name, parameter in task.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    moved = sum(bool(parameter.grad.any()) for parameter in task.parameters() if parameter.grad is not None)
    assert moved >= 0.95 * len(group.all())  # a dead ReLU or two


def test_a_single_readable_video_is_no_error(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    (terms,) = losses_of(task, make_video(1, seed=1), make_video(1, seed=2)).values()
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.parameters())


def test_statistics_are_float32_under_autocast(tiny_config: MakeConfig) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        (terms,) = losses_of(make_task(tiny_config), make_video(seed=1), make_video(seed=2)).values()
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_it_learns_from_real_videos(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog]) -> None:
    config = tiny_config("task=vicreg")
    torch.manual_seed(0)
    task = build_task(config, tiny_catalogs["train"]).train()
    optimizer = torch.optim.AdamW(task.parameters(), lr=3e-3)
    totals = []
    with closing(
        Loader(tiny_catalogs["train"], config, config.batch_size, config.seed, training=True, second_window=True)
    ) as batches:
        for epoch in range(12):
            for batch in batches.epoch(epoch):
                views = make_views(batch, task.views, config, config.seed, epoch)
                assert not torch.equal(views.videos[0], views.videos[1])
                (terms,) = task.losses(views, STEP).values()
                total = torch.stack(list(terms.values())).sum()
                optimizer.zero_grad()
                total.backward()
                optimizer.step()
                totals.append(float(total.detach()))
    assert sum(totals[-3:]) < 0.8 * sum(totals[:3])
