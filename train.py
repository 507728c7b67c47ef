"""The trainer: one step, one epoch; precision, accumulation, clipping, turns. It knows levels only as names."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.batches.loader import Loader
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews, make_views
from optimizers import Pace, build_optimizers
from parallel.batch_share import batch_windows, current_share, sharing
from parallel.gradients import sum_gradients
from parallel.group import ALONE, Group
from runs.precision import autocast_dtype
from runs.process.seeds import torch_generator
from tasks.task import Losses, StepContext, Task

# Below torch's 2**16, which a loss of many terms overflows more often in a row than `max_bad_steps` allows; it grows.
INITIAL_SCALE = 2.0**12

logger = logging.getLogger(__name__)

OnFailed = Callable[[list[tuple[int, str]]], object]


Measures = dict[str, list[Tensor]]
"""What was measured beside losses, of every batch of a step."""


@dataclass(frozen=True)
class StepReport:
    """The record of one step."""

    step: int
    """Number of steps done, this one included."""
    batch: int
    """Batches of the epoch done, those of this step and those of which nothing could be read included."""
    loss: dict[str, dict[str, float]]
    """Weighted losses by level and term, the mean over the step's windows."""
    grad_norm: dict[str, float]
    """By level that trained, before clipping; predictors included."""
    lr: float
    """Learning rate of the levels that trained, before `lr_scale` and `pred_multiplier`."""
    windows: int
    seconds: float
    """Duration of the whole step, including the wait for data."""
    data_wait: float
    """Seconds of them spent waiting for data."""
    measures: dict[str, float] = field(default_factory=dict)
    """What the task measured beside its losses, the mean over the step's batches; of several processes, the first's."""
    skipped: bool = False
    """A loss or a gradient was not finite, so that nothing but the step counter moved."""


@dataclass
class _Step:
    """The sums over the batches of one step."""

    began: float
    waited: float = 0.0
    windows: int = 0
    first: int = 0
    """Windows of the first batch. It counts 1, every other one in proportion to its windows."""
    loss: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Sums over the batches, detached."""
    measures: Measures = field(default_factory=dict)


class Trainer:
    """Owns the optimizers, the schedule, turns, precision, accumulation, clipping, and the step counter.

    A step takes `num_iters_grad_accum` batches, fewer at the end of an epoch, and moves along the mean of their
    gradients, each batch weighted by its windows. For losses that are means over windows this is the gradient of the
    one large batch; but statistics over a batch (regularisers, standardised targets and predictor inputs, BatchNorm)
    see one part at a time. Everything that depends on time (schedule, turns, random numbers) is a pure function of the
    step's number, and a checkpoint is taken between steps, so that a run continues exactly.

    Args:
        task: on `device` already.
        config: the whole config.
        batches_per_epoch: that the loader of the training split gives.
        device: where to compute.
        group: the processes that share each batch; all of them train, with the same weights.

    Raises:
        InputError: the config asks for turns of a single level, or the optimizer refuses its settings.
    """

    def __init__(
        self, task: Task, config: Config, batches_per_epoch: int, device: torch.device, group: Group = ALONE
    ) -> None:
        self.task, self.config, self.device, self.group = task, config, device, group
        self.steps_per_epoch = math.ceil(batches_per_epoch / config.num_iters_grad_accum)
        self.total_steps = self.steps_per_epoch * config.num_epochs
        self.groups = {name: group.all() for name, group in task.parameter_groups().items()}
        self.optimizers = build_optimizers(task, config)
        factors = {str(level): factor for level, factor in config.stage_lr.items()}
        self.frozen = [level for level in self.groups if factors.get(level) == 0]
        trained = tuple(level for level in self.groups if level not in self.frozen)
        self.pace = Pace(config, trained, self.steps_per_epoch, self.total_steps)
        dtype = autocast_dtype(config, device)
        self.autocast = torch.autocast(device.type, dtype, enabled=dtype is not None)
        # One for all optimizers: with one each, gradients that meet in a level would carry different scales.
        self.scaler = torch.amp.GradScaler(device.type, INITIAL_SCALE, enabled=dtype is torch.float16)
        # Early is exact where levels share a graph, too, but that graph stays, and is gone through by every level.
        early = {"early": True, "sum": False, "auto": not task.levels_share_graph}[config.level_backward]
        self._early = early and len(self.groups) > 1
        self.step = 0
        self.bad_steps = 0
        """Steps that were skipped in the whole run."""
        self.bad_in_a_row = 0
        self._bad: list[str] = []  # what was not finite in the latest step
        self._before = RunningStatistics(task)  # from before a step that is not finished
        self._between = RunningStatistics(task)  # from before a pass that is only logged
        self._moving = False  # weights are being changed, or that has failed
        self._frozen_modules = modules_of(task, (p for level in self.frozen for p in self.groups[level]))

    def epoch(self, loader: Loader, epoch: int, first_batch: int, on_failed: OnFailed) -> Iterator[StepReport]:
        """Trains on the batches of one epoch, from `first_batch` on; yields between steps.

        Batches number 1 to n of the epoch, those of which nothing could be read included, form the first step, and so
        on: `first_batch` is the `StepReport.batch` of an earlier step, or 0.

        Args:
            loader: of the training split.
            epoch: which one.
            first_batch: batches before it are done.
            on_failed: is told (row, reason) of what could not be read.

        Raises:
            InputError: the loss or gradient of `max_bad_steps` steps in a row was not finite, or there is no loss.
        """
        self.task.train()
        for module in self._frozen_modules:
            module.eval()
        parts, number = self.config.num_iters_grad_accum, first_batch
        start = perf_counter()
        step = _Step(start)
        for number, batch in enumerate(loader.epoch(epoch, first_batch), start=first_batch + 1):
            step.waited += perf_counter() - start
            share, failed = self.group.share(len(batch.row_B), batch.failed)
            on_failed(failed)
            if len(batch.row_B) if share is None else share.total:
                batch_there = (batch if len(batch.row_B) else batch.blank()).to(self.device, non_blocking=True)
                with sharing(share):
                    views = make_views(batch_there, self.task.views, self.config, self.config.seed, epoch)
                    self._accumulate(step, views, (number - 1) % parts)
            if step.windows and number % parts == 0:
                yield self._finish(step, number)
                self._give_up_if_astray()
                step = _Step(perf_counter())
            start = perf_counter()
        if step.windows:
            yield self._finish(step, number)
            self._give_up_if_astray()

    def _accumulate(self, step: _Step, views: TrainingViews, part: int) -> None:
        """Forward and backward of the levels whose turn it is."""
        config, active = self.config, self.pace.active(self.step)
        resting = [level for level in self.groups if level not in active]
        without_gradient = resting if config.explicit_freeze else self.frozen
        windows, here = batch_windows(len(views.rows_B)), current_share()
        if not step.windows:
            self._drop_gradients(self.groups)
            step.first = windows
            self._before.keep()
        step.windows += windows
        # Dropout draws from the global generator: seeded per batch, it is the same in a resumed run.
        torch.manual_seed(torch_generator(config.seed, self.step, part, 0, *self._own_key()).initial_seed())
        # Relative to the first batch, whose size is known before that of the others; `_finish` divides by the sum.
        share = windows / step.first * (here.weight if here else 1)
        # With gradient or without, resting levels stay: it is dropped before the step. Without, they cost less.
        with frozen(p for level in without_gradient for p in self.groups[level]):
            losses = self._descend(views, part, active if resting else None, share, step.measures)
        if resting and config.always_compute_loss:
            losses |= self._losses_of_resting(views, part, resting)
            losses = {level: losses[level] for level in self.groups if level in losses}
        for level, terms in losses.items():
            sums = step.loss.setdefault(level, {})
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + share * term.detach().float()

    def _descend(
        self, views: TrainingViews, part: int, levels: Sequence[str] | None, share: float, measures: Measures
    ) -> Losses:
        """Adds the gradients of the losses of `levels`, or of all: level by level as they come, or of their sum.

        Level by level, what one level has computed is freed before the next is computed.
        """
        losses: Losses = {}
        trained = False
        for level, terms in self._losses(views, part, levels, measures):
            losses[level] = terms
            if self._early and (total := _total([terms])) is not None:
                self.scaler.scale(share * total).backward(retain_graph=self.task.levels_share_graph)
                trained = True
        if not self._early and (total := _total(losses.values())) is not None:
            self.scaler.scale(share * total).backward()
            trained = True
        if not trained:
            names = ", ".join(levels or self.groups)
            raise InputError(
                f"step {self.step + 1}: there is no loss to train {names} with; give a term of it a weight above 0 "
                "in loss_weights"
            )
        return losses

    def _losses(
        self, views: TrainingViews, part: int, levels: Sequence[str] | None, measures: Measures | None = None
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """The losses of `levels`, or of all, one level after the other; the same draws whichever are asked for."""
        generator = torch_generator(self.config.seed, self.step, part, 1)
        asked = None if levels is None else frozenset(levels)
        context = StepContext(generator, self.step / self.total_steps, asked)
        by_level = self.task.losses_by_level(views, context)
        while True:
            with self.autocast:  # and not around the whole loop: backward, which comes in between, is not for it
                found = next(by_level, None)
            if found is None:
                break
            if asked is None or found[0] in asked:
                yield found
        if measures is not None:
            for name, value in context.measures.items():
                measures.setdefault(name, []).append(value.float())

    def _losses_of_resting(self, views: TrainingViews, part: int, resting: Sequence[str]) -> Losses:
        """To be logged, by a pass of their own that leaves no trace in running statistics."""
        self._between.keep()
        with torch.no_grad():
            losses = dict(self._losses(views, part, resting))
        self._between.restore()
        return losses

    def _finish(self, step: _Step, batch: int) -> StepReport:
        """Looks whether everything is finite, and only then takes a step of every optimizer that has gradients."""
        active, parts = self.pace.active(self.step), step.windows / step.first
        live = self._mean_gradients(active, parts)
        # Level by level, as each trains as if it were a network of its own: a common norm would tie their steps.
        limit = self.config.clip_grad_norm or math.inf
        norms = {level: nn.utils.clip_grad_norm_(self.groups[level], limit).to(self.device) for level in active}
        means = {level: {name: term / parts for name, term in terms.items()} for level, terms in step.loss.items()}
        losses, norm_values = to_floats(means, norms, self.group)
        # Before the step: one number that is not finite spoils the weights, and Adam's running means for good.
        bad = self._not_finite(losses, norm_values)
        lr = self.pace.learning_rate(self.step)
        measures = {name: torch.stack(values).mean().item() for name, values in step.measures.items()}
        self._move(live, bad)
        seconds = perf_counter() - step.began
        return StepReport(
            self.step,
            batch,
            losses,
            norm_values,
            lr,
            step.windows,
            seconds,
            step.waited,
            measures=measures,
            skipped=bool(bad),
        )

    def _mean_gradients(self, active: Sequence[str], parts: float) -> list[torch.optim.Optimizer]:
        """Turns the sums of gradients into means, unscaled; those of resting levels are dropped.

        Args:
            active: the levels whose turn it is.
            parts: that the sums are of, in batches as large as the first.

        Returns:
            The optimizers that have gradients.
        """
        self._drop_gradients(level for level in self.groups if level not in active)
        if self.group.size > 1:
            sum_gradients(p for level in active for p in self.groups[level])
        if parts != 1:
            for gradient in (p.grad for level in active for p in self.groups[level] if p.grad is not None):
                gradient.div_(parts)
        live = [o for o in self.optimizers.values() if any(p.grad is not None for p in owned(o))]
        for optimizer in live:  # before clipping, whose limit is for gradients as they are
            self.scaler.unscale_(optimizer)
        return live

    def _move(self, live: Sequence[torch.optim.Optimizer], bad: list[str]) -> None:
        """Takes the step, or where something is not finite, takes back what the forward passes left."""
        self._moving = True  # from here on an error leaves weights half moved, of which no checkpoint must be made
        if bad:
            self._before.restore()
        else:
            self.pace.set(self.optimizers.values(), self.step)
            for optimizer in live:
                self.scaler.step(optimizer)
        if live:
            self.scaler.update()  # after bad steps, too: a scale that is too high is what makes float16 overflow
        self.step += 1  # a bad step counts: the schedule, the random numbers and the place in the epoch go on
        self._bad = bad
        self.bad_in_a_row = self.bad_in_a_row + 1 if bad else 0
        self.bad_steps += bool(bad)
        if not bad:
            self.task.after_step(self.step / self.total_steps)  # a teacher follows weights that have moved
        self._moving = False
        self._before.drop()

    def _own_key(self) -> tuple[int, ...]:
        """What the seed of this process's dropout has besides; nothing in a process that is alone."""
        return (self.group.rank,) if self.group.size > 1 else ()

    def _drop_gradients(self, levels: Iterable[str]) -> None:
        """Optimizers pass over parameters whose gradient is None: no step, no decay, no momentum."""
        for parameter in (p for level in levels for p in self.groups[level]):
            parameter.grad = None

    def _not_finite(self, losses: dict[str, dict[str, float]], norms: dict[str, float]) -> list[str]:
        """Names what is not finite among the values that would move weights; a loss that is only logged moves none."""
        resting = self.groups.keys() - norms.keys()
        bad = [
            f"loss {level}.{term}"
            for level, terms in losses.items()
            for term, value in terms.items()
            if level not in resting and not math.isfinite(value)
        ]
        return bad + [f"gradient norm of {name}" for name, norm in norms.items() if not math.isfinite(norm)]

    def _give_up_if_astray(self) -> None:
        """Ends a run of too many bad steps in a row, once the last one was reported: a checkpoint fits the reports."""
        if self.bad_in_a_row < self.config.max_bad_steps:
            return
        advice = ["a lower optimizer.lr"]
        if self.config.clip_grad_norm is None:
            advice.append("a clip_grad_norm")
        if autocast_dtype(self.config, self.device) is not None:
            advice.append("mixed_precision=bfloat16" if self.scaler.is_enabled() else "use_mixed_precision=false")
        raise InputError(
            f"step {self.step}: {self._bad[0]} is not finite, in bad step {self.bad_in_a_row} in a row "
            f"(max_bad_steps={self.config.max_bad_steps}); last.pt has the weights from before them. Start a new run "
            f"with {' or '.join(advice)}"
        )

    def roll_back(self) -> bool:
        """Takes back what a step that an error has ended left in running statistics.

        Returns:
            Whether task and trainer are as they were between two steps: not where weights were being moved.
        """
        if self._moving:
            return False
        self._before.restore()
        self._before.drop()
        return True

    def state_dict(self) -> dict[str, Any]:
        """Everything that an exact continuation needs beside the task's weights; to be taken between steps."""
        return {
            "step": self.step,
            "bad_steps": self.bad_steps,
            "bad_in_a_row": self.bad_in_a_row,
            "processes": self.group.size,
            "scaler": self.scaler.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "parameters": self._parameter_names(),
        }

    def _parameter_names(self) -> dict[str, list[str]]:
        """By optimizer, its parameters in the order of its state_dict: their names in that of the task."""
        names = {id(parameter): name for name, parameter in self.task.named_parameters()}
        return {key: [names[id(p)] for p in owned(optimizer)] for key, optimizer in self.optimizers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where `state_dict` was taken."""
        if (then := state.get("processes", 1)) != self.group.size:
            logger.info(
                "trained by %d processes until now, and by %d from here on: sums are in another order, so that numbers "
                "are the same up to rounding, and no longer bit by bit; dropout and noise are drawn anew",
                *(then, self.group.size),
            )
        self.step, self.bad_steps, self.bad_in_a_row = state["step"], state["bad_steps"], state["bad_in_a_row"]
        self.scaler.load_state_dict(state["scaler"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    def take_over(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Gives optimizers the states of another training; the schedule and the counts begin anew.

        Args:
            states: torch's state of each parameter, by its name; those without one begin anew.
        """
        for key, names in self._parameter_names().items():
            groups = self.optimizers[key].state_dict()["param_groups"]
            known = {number: dict(states[name]) for number, name in enumerate(names) if name in states}
            self.optimizers[key].load_state_dict({"state": known, "param_groups": groups})


def _total(losses: Iterable[Mapping[str, Tensor]]) -> Tensor | None:
    """The sum of the terms of some levels; None where none of them trains anything."""
    # In float32: under autocast a sum of many terms would lose the small ones.
    terms = [term.float() for level in losses for term in level.values()]
    return torch.stack(terms).sum() if any(term.requires_grad for term in terms) else None


class RunningStatistics:
    """The buffers of a task that training changes, such as BatchNorm's, to be put back after a step that is taken back.

    Args:
        task: whose state_dict names them; other buffers are constants.
    """

    def __init__(self, task: nn.Module) -> None:
        saved = task.state_dict().keys()
        self._task = task
        self._names = [name for name, _ in task.named_buffers() if name in saved]
        self._kept: dict[str, Tensor] = {}

    def keep(self) -> None:
        """Notes what they are now."""
        self._kept = {name: self._task.get_buffer(name).clone() for name in self._names}

    @torch.no_grad()
    def restore(self) -> None:
        """Puts back what was noted, where something is."""
        for name, value in self._kept.items():
            self._task.get_buffer(name).copy_(value)

    def drop(self) -> None:
        """Forgets what was noted."""
        self._kept = {}


def training_loader(task: Task, catalog: Catalog, config: Config, group: Group = ALONE) -> Loader:
    """The training batches, with a second window of each video where the task's views ask for one.

    Args:
        task: asks for views.
        catalog: the videos.
        config: the whole config.
        group: the processes among which each batch is divided.
    """
    second_window = any(view.window for view in task.views)
    share = group.rank, group.size
    return Loader(
        catalog, config, config.batch_size, config.seed, training=True, second_window=second_window, share=share
    )


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, `parameters` require no gradient; afterwards those that did before do again."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def modules_of(task: nn.Module, parameters: Iterable[nn.Parameter]) -> list[nn.Module]:
    """The modules of `task` all of whose parameters are among these, those without any left out."""
    known = {id(parameter) for parameter in parameters}
    found = []
    for module in task.modules():
        own = [id(parameter) in known for parameter in module.parameters()]
        if own and all(own):
            found.append(module)
    return found


def owned(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    """The parameters of all groups of an optimizer."""
    for group in optimizer.param_groups:
        yield from group["params"]


def to_floats(
    losses: Losses, norms: dict[str, Tensor], group: Group = ALONE
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """All losses, those of the processes added up, and gradient norms as floats, by one transfer from the device."""
    terms = [term.detach().float() for level in losses.values() for term in level.values()]
    terms = list(group.sum_(torch.stack(terms))) if terms else []
    values = iter(torch.stack([*terms, *(norm.float() for norm in norms.values())]).tolist())
    loss_values = {level: {term: next(values) for term in terms} for level, terms in losses.items()}
    return loss_values, {name: next(values) for name in norms}
