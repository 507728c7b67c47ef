"""A small task, batches of noise, and looks into a trainer: what the tests of the trainer share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews, View
from runs.process.seeds import seed_everything
from tasks import build_task
from tasks.task import Losses, ParameterGroup, StepContext, Task
from train import StepReport, Trainer

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
DROPOUT = tuple(f"architecture_{level}.dropout=0.2" for level in ("space", "time", "clip"))
VICREG = "regularizer={name: vicreg, variance: 1, covariance: 1, proj_dim: 18, min_vectors: 64}"
SIGREG = "regularizer={name: sigreg, weight: 1, num_slices: 256, proj_dim: 18, min_vectors: 64}"
LEVELS = ["space", "time", "clip"]
LAYOUTS = [
    (f"use_single_optimizer={single}", f"predictor={{pred_multiplier: 1.0, pred_aside: {aside}}}")
    for single in ("false", "true")
    for aside in (0, 1, 2)
]
SGD = "optimizer={name: sgd, lr: 0.1, weight_decay: 0.1}"


def ignore(failed: list[tuple[int, str]]) -> None:
    pass


class FakeLoader:
    """Batches of noise, of the sizes given, so that a test needs no files; one of size 0 could not be read.

    Window number n of an epoch is the same however the windows are cut into batches.
    """

    def __init__(self, sizes: Sequence[int] = (4, 4, 4)) -> None:
        self.sizes = sizes

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        for number in range(first_batch, len(self.sizes)):
            begin, size = sum(self.sizes[:number]), self.sizes[number]
            seeds = [1000 * epoch + window for window in range(begin, begin + size)]
            videos = [torch.randint(0, 256, (6, 3, 16, 24), generator=torch.Generator().manual_seed(s)) for s in seeds]
            video = torch.stack(videos).to(torch.uint8) if size else torch.empty(0, 6, 3, 16, 24, dtype=torch.uint8)
            yield Batch(video, torch.arange(size), torch.arange(6).expand(size, 6), [] if size else [(7, "damaged")])


class FakeTask(Task):
    """Three levels of a few linear layers; the loss of a level puts gradient into the levels below it, too."""

    def __init__(self, noise: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.bodies = nn.ModuleDict(
            {level: nn.Sequential(nn.Linear(18, 6), nn.LayerNorm(6), nn.Dropout(dropout)) for level in LEVELS}
        )
        self.predictors = nn.ModuleDict({level: nn.Linear(6, 18) for level in LEVELS})
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(18))
        self.noise, self.steps = noise, 0
        self.spoil: dict[int, dict[str, float]] = {}
        """Factors of losses by step and level."""
        self.batches: list[TrainingViews] = []
        self.contexts: list[StepContext] = []
        self.drawn: list[tuple[float, float]] = []
        """By batch, from the step's generator and from the global one."""
        self.thawed: list[list[str]] = []
        self.followed: list[float] = []
        self.dtypes: set[torch.dtype] = set()

    @property
    def encoder(self) -> nn.Module:
        return self.bodies

    @property
    def views(self) -> tuple[View, ...]:
        return (View(),)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        self.batches.append(batch)
        self.contexts.append(step)
        self.drawn.append((float(torch.rand((), generator=step.generator)), float(torch.rand(()))))
        groups = self.parameter_groups()
        self.thawed.append([level for level in LEVELS if all(p.requires_grad for p in groups[level].all())])
        assert all(len({p.requires_grad for p in group.all()}) == 1 for group in groups.values())
        pixels_BD = batch.videos[0].mean(dim=(3, 4)).flatten(1) * 10
        self.seen += pixels_BD.sum(dim=0)
        target_BD = pixels_BD + self.noise * torch.randn(18, generator=step.generator)
        factors = self.spoil.get(round(step.progress * self.steps), {})
        below_BD, losses = torch.zeros(1), {}
        for level in LEVELS:
            own_BD = self.bodies[level](pixels_BD) + below_BD
            prediction_BD = self.predictors[level](own_BD)
            self.dtypes.add(prediction_BD.dtype)
            loss = (prediction_BD.float() - target_BD).square().mean() * factors.get(level, 1.0)
            losses[level] = {"down": loss, "small": own_BD.float().abs().mean()}
            below_BD = own_BD
        return {level: terms for level, terms in losses.items() if step.levels is None or level in step.levels}

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        return {
            level: ParameterGroup(list(self.bodies[level].parameters()), list(self.predictors[level].parameters()))
            for level in LEVELS
        }

    def after_step(self, progress: float) -> None:
        self.followed.append(progress)


def fake_trainer(config: Config, batches: int, noise: float = 0.0, dropout: float = 0.0) -> tuple[Trainer, FakeTask]:
    task = FakeTask(noise, dropout)
    trainer = Trainer(task, config, batches, CPU)
    task.steps = trainer.total_steps
    return trainer, task


def make_trainer(config: Config, catalogs: dict[str, Catalog] | None = None, total_steps: int = 12) -> Trainer:
    seed_everything(config.seed)
    train: Any = catalogs["train"] if catalogs else None  # the hierarchical task needs none
    config = config.model_copy(update={"num_epochs": 1})
    return Trainer(build_task(config, train), config, total_steps * config.num_iters_grad_accum, CPU)


def run(trainer: Trainer, loader: Any, epoch: int = 0, first_batch: int = 0, steps: int = 10**9) -> list[StepReport]:
    reports: list[StepReport] = []
    for report in trainer.epoch(loader, epoch, first_batch, ignore):
        reports.append(report)
        if len(reports) == steps:
            break
    return reports


def weights(task: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in task.state_dict().items()}


def level_state(trainer: Trainer, level: str) -> list[Tensor]:
    """The level's parameters, then everything that its optimizers remember of them."""
    tensors: list[Tensor] = list(trainer.groups[level])
    for parameter in trainer.groups[level]:
        for optimizer in trainer.optimizers.values():
            tensors += [v for v in optimizer.state.get(parameter, {}).values() if isinstance(v, Tensor)]
    return [tensor.detach().clone() for tensor in tensors]


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def identical(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def figures(reports: list[StepReport]) -> list[Any]:
    return [(r.step, r.batch, r.loss, r.grad_norm, r.lr, r.windows, r.skipped) for r in reports]


def patch_losses(monkeypatch: pytest.MonkeyPatch, task: Task, change: Callable[[Losses], Losses]) -> None:
    """Puts `change` between a task and its trainer."""
    original = task.losses_by_level
    monkeypatch.setattr(task, "losses_by_level", lambda *arguments: iter(change(dict(original(*arguments))).items()))
