"""Optimizers, schedules and turns: who trains at which step, and how fast. All of it is a function of the step."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import lr_scheduler

from config.errors import InputError
from config.optimizers import AnyOptimizer, AnyScheduler, Constant, Cosine, Exponential, Linear, MultiStep, Polynomial
from config.schema import Config
from schedules import half_cosine
from tasks.task import Task

logger = logging.getLogger(__name__)

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "sgd": torch.optim.SGD,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
}


# --------------------------------------------------------------------------------------------- the optimizers


def build_optimizers(task: Task, config: Config) -> dict[str, torch.optim.Optimizer]:
    """The optimizers of all parameters of `task`, by name.

    | `pred_aside` | one per level                    | `use_single_optimizer`        |
    |--------------|----------------------------------|-------------------------------|
    | 0            | `space`, ..                      | `all`                         |
    | 1            | `space`, .. (predictors apart)   | `all` (predictors apart)      |
    | 2            | `space`, `space.predictors`, ..  | `all`, `predictors`           |

    "Apart" means parameter groups of their own. Every group of an optimizer carries, beside torch's keys, `level`,
    `decays`, whether weight decay is for it, and `lr_share`, its learning rate as a share of the schedule's: `lr_scale`
    times `stage_lr` of the level, for predictors that are apart times `pred_multiplier`, and where the task has rates
    of its own for single parameters (`ParameterGroup.rates`), times those. Weights of linear layers and convolutions
    decay by `weight_decay`, whatever their learning rate; norms, biases, positions, tokens and embeddings do not.

    Raises:
        InputError: the optimizer refuses its settings.
    """
    decayed = decayed_parameters(task)
    given = (config.lr_scale, config.stage_lr)
    scale_of, factor_of = ({str(name): value for name, value in factors.items()} for factors in given)
    groups: dict[str, list[dict[str, Any]]] = {}
    for level, group in task.parameter_groups().items():
        share = scale_of.get(level, 1.0) * factor_of.get(level, 1.0)
        owner = "all" if config.use_single_optimizer else level
        aside = config.predictor.pred_aside
        parts = [(owner, group.parameters if aside else group.all(), share)]
        if aside:
            aside_owner = "predictors" if config.use_single_optimizer else f"{level}.predictors"
            predictor_share = share * config.predictor.pred_multiplier
            parts.append((owner if aside == 1 else aside_owner, group.predictors, predictor_share))
        for name, parameters, lr_share in parts:
            for (decays, rate), chosen in _alike(parameters, decayed, group.rates).items():
                values = _group_values(config.optimizer, decays) | {"level": level, "lr_share": lr_share * rate}
                groups.setdefault(name, []).append({"params": chosen, **values})
    return {name: _optimizer(config.optimizer, members) for name, members in groups.items()}


def _alike(
    parameters: Sequence[nn.Parameter], decayed: Collection[int], rates: Mapping[int, float]
) -> dict[tuple[bool, float], list[nn.Parameter]]:
    """The parameters by whether they decay, those that do first, and by their own rate."""
    found: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for decays in (True, False):
        for parameter in parameters:
            if (id(parameter) in decayed) == decays:
                found.setdefault((decays, rates.get(id(parameter), 1.0)), []).append(parameter)
    return found


def decayed_parameters(task: nn.Module) -> set[int]:
    """The ids of the parameters that decay: weights of linear layers and of convolutions."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return {id(module.weight) for module in task.modules() if isinstance(module, kinds)}


def _group_values(settings: AnyOptimizer, decays: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"weight_decay": settings.weight_decay if decays else 0.0, "decays": decays}
    # timm adapts the rate of decayed layers alone, so that weight_decay 0 would quietly turn LARS into SGD.
    return values | {"always_adapt": decays} if settings.name == "lars" else values


def _optimizer(settings: AnyOptimizer, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    make: Any
    if settings.name == "lars":
        from timm.optim.lars import Lars as make  # takes seconds
    else:
        make = OPTIMIZERS[settings.name]
    values = settings.model_dump(exclude={"name", "weight_decay", "final_weight_decay", "base_lr", "nominal_batch"})
    if "betas" in values:
        values["betas"] = tuple(values["betas"])
    try:
        optimizer: torch.optim.Optimizer = make(groups, **values)
    except ValueError as error:
        raise InputError(f"optimizer: {settings.name} refuses its settings: {error}; change them") from error
    return optimizer


# ------------------------------------------------------------------------------------------------ the schedule


def schedule_factors(scheduler: AnyScheduler, total_steps: int) -> NDArray[np.float64]:
    """The learning rate of every step as a share of the highest: a linear warm-up, then torch's schedule.

    A table, because torch's schedules know only the step after the present one; read from it, the rate is a pure
    function of the step. The warm-up takes floor(warmup * total_steps) steps; the step after it has factor 1.

    Args:
        scheduler: its name and numbers.
        total_steps: at least 1.

    Returns:
        [total_steps + 1]; the last is what the schedule ends at, which no step of the training takes.
    """
    # The small addend is for products such as 0.29 * 100, which is 28.999999999999996.
    warmup = min(math.floor(scheduler.warmup * total_steps + 1e-9), total_steps - 1)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = _torch_schedule(scheduler, optimizer, total_steps - warmup)
    optimizer.step()  # moves nothing; torch warns where a schedule takes a step before its optimizer
    factors = np.empty(total_steps + 1)
    factors[:warmup] = np.arange(1, warmup + 1) / (warmup + 1)
    for step in range(warmup, total_steps + 1):
        factors[step] = optimizer.param_groups[0]["lr"]
        schedule.step()
    return factors.clip(min=0.0)  # a straight line to 0 may end at -1e-17


def _torch_schedule(scheduler: AnyScheduler, optimizer: torch.optim.Optimizer, steps: int) -> lr_scheduler.LRScheduler:
    """The `steps` steps after the warm-up by torch's class; cosine: Loshchilov & Hutter, 2017, arXiv 1608.03983."""
    match scheduler:
        case Cosine():
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=scheduler.final_lr)
        case Linear():
            return lr_scheduler.LinearLR(optimizer, 1.0, scheduler.final_lr, total_iters=steps)
        case Polynomial():
            return lr_scheduler.PolynomialLR(optimizer, total_iters=steps, power=scheduler.power)
        case MultiStep():
            milestones = [math.ceil(share * steps - 1e-9) for share in scheduler.milestones]
            return lr_scheduler.MultiStepLR(optimizer, milestones, scheduler.gamma)
        case Exponential():
            return lr_scheduler.ExponentialLR(optimizer, scheduler.final_lr ** (1 / steps))
        case Constant():
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)


# -------------------------------------------------------------------------------------------------- taking turns


@dataclass(frozen=True)
class Turns:
    """Alternating training: levels 0, 2, .. and 1, 3, .. train by turns, counted over the whole run.

    Attributes:
        levels: names, lowest first.
        interval: steps of a turn; None: all levels train at every step.
    """

    levels: tuple[str, ...]
    interval: int | None

    @classmethod
    def of(cls, config: Config, levels: tuple[str, ...], steps_per_epoch: int) -> Turns:
        """The turns that `config` asks for: of `alternating_interval` percent of an epoch, of one step at least.

        Raises:
            InputError: there is only one level.
        """
        percent = config.alternating_interval
        if percent is None:
            return cls(levels, None)
        if len(levels) < 2:
            raise InputError(
                f"alternating_interval={percent}, but task={config.task} trains a single group ({levels[0]}), so there "
                "is nothing to alternate with; set it to null"
            )
        return cls(levels, max(1, round(percent / 100 * steps_per_epoch)))

    def active(self, step: int) -> tuple[str, ...]:
        """The levels that train at `step`, from 0."""
        return self.levels if self.interval is None else self.levels[(step // self.interval) % 2 :: 2]

    def steps_of(self, level: str, step: int) -> int:
        """How many of the first `step` steps were steps of `level`."""
        if self.interval is None:
            return step
        rounds, rest = divmod(step, 2 * self.interval)
        even = rounds * self.interval + min(rest, self.interval)
        return step - even if self.levels.index(level) % 2 else even


# ------------------------------------------------------------------------------------------- pace: all in one place


class Pace:
    """Who trains at a step, how fast, and with how much weight decay: pure functions of the step's number.

    Being no state, none of it needs a place in a checkpoint, and a resumed run cannot differ.

    Args:
        config: the whole config.
        levels: the parameter groups' names, lowest first.
        steps_per_epoch: of the training.
        total_steps: of the training.

    Raises:
        InputError: the config asks for turns of a single level.
    """

    def __init__(self, config: Config, levels: tuple[str, ...], steps_per_epoch: int, total_steps: int) -> None:
        self.turns = Turns.of(config, levels, steps_per_epoch)
        self.total_steps, self._optimizer, self._peak = total_steps, config.optimizer, config.learning_rate
        # A level is as far in the schedule as it had steps: resting would otherwise cost it the high rates.
        steps = {level: self.turns.steps_of(level, total_steps) for level in levels}
        if never := [level for level, number in steps.items() if not number]:
            logger.warning("alternating_interval: %s never trains in %d steps", ", ".join(never), total_steps)
        tables = {number: schedule_factors(config.scheduler, max(1, number)) for number in set(steps.values())}
        self._factors = {level: tables[number] for level, number in steps.items()}

    def active(self, step: int) -> tuple[str, ...]:
        """The levels that train at `step`, from 0."""
        return self.turns.active(step)

    def learning_rate(self, step: int) -> float:
        """Learning rate of the levels that train at `step`, from 0, before `lr_scale` and `pred_multiplier`."""
        level = self.active(step)[0]
        factors = self._factors[level]
        done = min(self.turns.steps_of(level, step), len(factors) - 1)
        return self._peak * float(factors[done])

    def weight_decay(self, step: int) -> float:
        """Weight decay of the levels that train at `step`, from 0: constant, or half a cosine to the final one."""
        settings = self._optimizer
        if settings.final_weight_decay is None:
            return settings.weight_decay
        level = self.active(step)[0]
        done, total = (self.turns.steps_of(level, count) for count in (step, self.total_steps))
        return half_cosine(settings.weight_decay, settings.final_weight_decay, done / max(1, total))

    def set(self, optimizers: Iterable[torch.optim.Optimizer], step: int) -> None:
        """Sets learning rate and weight decay of `step`; resting levels keep their last ones, which nothing uses."""
        active, rate, decay = self.active(step), self.learning_rate(step), self.weight_decay(step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if group["level"] in active:
                    group["lr"] = rate * group["lr_share"]
                    if group["decays"]:
                        group["weight_decay"] = decay
