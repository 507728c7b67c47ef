"""The trainer: one step, one epoch; precision, clipping and schedules. It knows levels only as names of groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.loader import Batch, Loader
from data_utils.normalise import normalise
from runs.seeds import torch_generator
from tasks.task import Losses, Task

OnFailed = Callable[[list[tuple[int, str]]], object]


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: int
    """Number of steps done, this one included."""
    batch: int
    """Batches of the epoch done, this one and those of which nothing could be read included."""
    loss: dict[str, dict[str, float]]
    """Weighted losses by level and term."""
    grad_norm: dict[str, float]
    """By parameter group, before clipping."""
    lr: float
    windows: int
    seconds: float
    """Of the whole step, waiting for data included."""
    data_wait: float
    """Of them, waiting for data."""


class Trainer:
    """Owns the optimizers, the schedule, precision, clipping, and the step counter.

    Args:
        task: on `device` already.
        config: the whole config.
        total_steps: of the whole run; the schedule ends with it.
        device: where to compute.
    """

    def __init__(self, task: Task, config: Config, total_steps: int, device: torch.device) -> None:
        self.task, self.config, self.total_steps, self.device = task, config, total_steps, device
        self.groups = task.parameter_groups()
        self.optimizers = {name: build_optimizer(task, parameters, config) for name, parameters in self.groups.items()}
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.use_mixed_precision and bf16)
        self.lr_scale: dict[str, float] = {str(name): scale for name, scale in config.lr_scale.items()}
        self.step = 0

    def epoch(self, loader: Loader, epoch: int, first_batch: int, on_failed: OnFailed) -> Iterator[StepReport]:
        """Trains on the batches of one epoch, from `first_batch` on.

        Args:
            loader: of the training split.
            epoch: which one.
            first_batch: batches before it are done.
            on_failed: is told (row, reason) of what could not be read.

        Raises:
            InputError: a loss or gradient is no longer finite.
        """
        self.task.train()
        start = perf_counter()
        for number, batch in enumerate(loader.epoch(epoch, first_batch), start=first_batch + 1):
            on_failed(batch.failed)
            waited = perf_counter() - start
            if len(batch.row_B):
                losses, norms = self._update(batch.to(self.device, non_blocking=True))
                lr = self.learning_rate(self.step)
                self.step += 1
                seconds = perf_counter() - start
                yield StepReport(self.step, number, losses, norms, lr, len(batch.row_B), seconds, waited)
            start = perf_counter()

    def _update(self, batch: Batch) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """One forward, one backward over the sum of all losses, one step of every optimizer."""
        seed = self.config.seed
        # Dropout draws from the global generator: seeded per step, it is the same in a resumed run.
        torch.manual_seed(torch_generator(seed, self.step).initial_seed())
        video_BTCHW = normalise(batch.video_BTCHW, self.config.mean, self.config.std)
        with self.autocast:
            losses = self.task.losses(video_BTCHW, batch.row_B, batch.frames_BT, torch_generator(seed, self.step, 1))
        total = torch.stack([term.float() for terms in losses.values() for term in terms.values()]).sum()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        total.backward()
        limit = self.config.clip_grad_norm or math.inf
        norms = {name: nn.utils.clip_grad_norm_(parameters, limit) for name, parameters in self.groups.items()}
        values, norm_values = to_floats(losses, norms)
        self._check_finite(values, norm_values)
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate(self.step) * self.lr_scale.get(name, 1.0)
            optimizer.step()
        return values, norm_values

    def _check_finite(self, losses: dict[str, dict[str, float]], norms: dict[str, float]) -> None:
        """Stops before the step that would spoil the weights."""
        bad = [
            f"loss {level}.{term}"
            for level, terms in losses.items()
            for term in terms
            if not math.isfinite(terms[term])
        ]
        bad += [f"gradient norm of {name}" for name, norm in norms.items() if not math.isfinite(norm)]
        if bad:
            raise InputError(
                f"step {self.step + 1}: {bad[0]} is not finite; the weights are as they were before this step. "
                "Lower optimizer.lr, set clip_grad_norm, or set use_mixed_precision=false"
            )

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine (Loshchilov & Hutter, 2017, arXiv 1608.03983), by optimizer step."""
        lr, schedule = self.config.optimizer.lr, self.config.scheduler
        warmup = schedule.warmup * self.total_steps
        if step < warmup:
            return lr * (step + 1) / (math.floor(warmup) + 1)
        progress = (step - warmup) / max(1.0, self.total_steps - warmup)
        return lr * (schedule.final_lr + (1 - schedule.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    def state_dict(self) -> dict[str, Any]:
        """Everything that an exact continuation needs beside the task's weights."""
        return {
            "step": self.step,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where `state_dict` was taken."""
        self.step = state["step"]
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def build_optimizer(task: nn.Module, parameters: list[nn.Parameter], config: Config) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, 2019, arXiv 1711.05101) over `parameters`.

    Weight decay is for the matrices of linear layers alone: norms, biases, positions and tokens get none.
    """
    matrices = {id(module.weight) for module in task.modules() if isinstance(module, nn.Linear)}
    decayed = [parameter for parameter in parameters if id(parameter) in matrices]
    free = [parameter for parameter in parameters if id(parameter) not in matrices]
    settings = config.optimizer
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}],
        lr=settings.lr,
        betas=(settings.betas[0], settings.betas[1]),
    )


def to_floats(losses: Losses, norms: dict[str, Tensor]) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """All losses and gradient norms as floats, by one transfer from the device."""
    terms = [term.detach().float() for level in losses.values() for term in level.values()]
    values = iter(torch.stack([*terms, *(norm.float() for norm in norms.values())]).tolist())
    loss_values = {level: {term: next(values) for term in terms} for level, terms in losses.items()}
    return loss_values, {name: next(values) for name in norms}
