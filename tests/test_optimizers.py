from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from config.errors import InputError
from config.schema import Config
from data_utils.views.views import TrainingViews, View
from optimizers import Turns, build_optimizers, schedule_factors
from tasks.task import Losses, ParameterGroup, StepContext, Task

MakeConfig = Callable[..., Config]
LEVELS = ("space", "time", "clip")
OPTIMIZERS = {
    "adamw": "{name: adamw, lr: 0.1, weight_decay: 0.5, betas: [0.9, 0.95]}",
    "adam": "{name: adam, lr: 0.1, weight_decay: 0.5}",
    "nadam": "{name: nadam, lr: 0.1, weight_decay: 0.5}",
    "radam": "{name: radam, lr: 0.1, weight_decay: 0.5}",
    "sgd": "{name: sgd, lr: 0.1, weight_decay: 0.5, momentum: 0.9, nesterov: true}",
    "adadelta": "{name: adadelta, lr: 0.1, weight_decay: 0.5}",
    "rmsprop": "{name: rmsprop, lr: 0.1, weight_decay: 0.5, momentum: 0.9}",
    "lars": "{name: lars, lr: 0.1, weight_decay: 0.5}",
}
SCHEDULES = {
    "cosine": "{name: cosine, warmup: 0.2, final_lr: 0.25}",
    "linear": "{name: linear, warmup: 0.2, final_lr: 0.25}",
    "polynomial": "{name: polynomial, warmup: 0.2, power: 2.0}",
    "multistep": "{name: multistep, warmup: 0.2, milestones: [0.75, 0.5], gamma: 0.2}",
    "exponential": "{name: exponential, warmup: 0.2, final_lr: 0.01}",
    "constant": "{name: constant, warmup: 0.2}",
}
EXPECTED: dict[str, Callable[[float], float]] = {  # from the share of the steps after the warm-up that is done
    "cosine": lambda done: 0.25 + 0.75 * 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - 0.75 * done,
    "polynomial": lambda done: (1 - done) ** 2,
    "multistep": lambda done: 0.2 ** ((done >= 0.5) + (done >= 0.75)),
    "exponential": lambda done: 0.01**done,
    "constant": lambda done: 1.0,
}


class Level(nn.Module):
    """A bit of everything that a level may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 4)
        self.position = nn.Parameter(torch.randn(2, 4))
        self.conv = nn.Conv3d(1, 2, 1)
        self.norms = nn.Sequential(nn.LayerNorm(4), nn.BatchNorm1d(4))
        self.body = nn.Linear(4, 4)


class ManyKinds(Task):
    """A task that is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies = nn.ModuleDict({name: Level() for name in LEVELS})
        self.predictors = nn.ModuleDict({name: nn.Linear(4, 2) for name in LEVELS})

    @property
    def encoder(self) -> nn.Module:
        return self.bodies

    @property
    def views(self) -> tuple[View, ...]:
        return (View(),)

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        raise AssertionError

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        return {
            name: ParameterGroup(list(self.bodies[name].parameters()), list(self.predictors[name].parameters()))
            for name in LEVELS
        }


# --------------------------------------------------------------------------------------------- the optimizers


@pytest.mark.parametrize(
    ("single", "aside", "names", "apart"),
    [
        (False, 0, ["space", "time", "clip"], False),
        (False, 1, ["space", "time", "clip"], True),
        (False, 2, [f"{level}{part}" for level in LEVELS for part in ("", ".predictors")], True),
        (True, 0, ["all"], False),
        (True, 1, ["all"], True),
        (True, 2, ["all", "predictors"], True),
    ],
)
def test_every_layout_holds_every_parameter_once_at_its_rate(
    tiny_config: MakeConfig, single: bool, aside: int, names: list[str], apart: bool
) -> None:
    config = tiny_config(
        f"use_single_optimizer={str(single).lower()}",
        f"predictor={{pred_multiplier: 4.0, pred_aside: {aside}}}",
        "lr_scale={space: 1.0, time: 0.5, clip: 0.25}",
        "optimizer={name: adamw, lr: 0.01, weight_decay: 0.3, betas: [0.9, 0.95]}",
    )
    task = ManyKinds()
    optimizers = build_optimizers(task, config)
    assert list(optimizers) == names
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert id(parameter) not in found
                found[id(parameter)] = (name, group)
    assert found.keys() == {id(parameter) for parameter in task.parameters()}
    scales = {"space": 1.0, "time": 0.5, "clip": 0.25}
    for level, members in task.parameter_groups().items():
        for parameters, kind in ((members.parameters, "parameters"), (members.predictors, "predictors")):
            for parameter in parameters:
                name, values = found[id(parameter)]
                aside_name = "predictors" if single else f"{level}.predictors"
                own = kind == "predictors" and aside == 2
                assert name == (aside_name if own else "all" if single else level)
                multiplier = 4.0 if kind == "predictors" and apart else 1.0
                assert (values["level"], values["lr_share"]) == (level, scales[level] * multiplier)
                assert values["weight_decay"] in (0.3, 0.0)  # never multiplied


def test_matrices_of_linear_layers_and_convolutions_decay_and_nothing_else(tiny_config: MakeConfig) -> None:
    task = ManyKinds()
    names = {id(parameter): name for name, parameter in task.named_parameters()}
    groups = [group for optimizer in build_optimizers(task, tiny_config()).values() for group in optimizer.param_groups]
    decayed = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
    expected = {f"bodies.{level}.{part}.weight" for level in LEVELS for part in ("conv", "body")}
    assert decayed == expected | {f"predictors.{level}.weight" for level in LEVELS}


def test_a_level_without_predictors_has_no_optimizer_for_them(tiny_config: MakeConfig) -> None:
    task = ManyKinds()
    groups = task.parameter_groups() | {"clip": ParameterGroup(list(task.bodies["clip"].parameters()))}
    task.parameter_groups = lambda: groups  # type: ignore[method-assign]
    optimizers = build_optimizers(task, tiny_config("predictor={pred_multiplier: 1.0, pred_aside: 2}"))
    assert "clip.predictors" not in optimizers
    assert "time.predictors" in optimizers


def test_single_parameters_may_have_rates_of_their_own(tiny_config: MakeConfig) -> None:
    task = ManyKinds()
    plain, body = task.parameter_groups()["time"], task.bodies["time"].get_submodule("body")
    rates = {id(parameter): 0.25 for parameter in body.parameters()}
    groups = task.parameter_groups() | {"time": ParameterGroup(plain.parameters, plain.predictors, rates)}
    task.parameter_groups = lambda: groups  # type: ignore[method-assign]
    optimizer = build_optimizers(task, tiny_config("lr_scale={space: 1.0, time: 0.5, clip: 1.0}"))["time"]
    shares = {id(p): (group["lr_share"], group["decays"]) for group in optimizer.param_groups for p in group["params"]}
    assert len(shares) == len(groups["time"].all())
    assert [shares[id(parameter)] for parameter in body.parameters()] == [(0.125, True), (0.125, False)]
    assert {share for key, (share, _) in shares.items() if key not in rates} == {0.5}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_its_settings(tiny_config: MakeConfig, name: str) -> None:
    config = tiny_config(f"optimizer={OPTIMIZERS[name]}")
    optimizer = build_optimizers(ManyKinds(), config)["space"]
    assert type(optimizer).__name__.lower() == name
    ours = {"name", "weight_decay", "final_weight_decay", "base_lr", "nominal_batch"}
    for key, value in config.optimizer.model_dump(exclude=ours).items():
        for group in optimizer.param_groups:
            assert group[key] == (tuple(value) if key == "betas" else value)


def test_settings_that_an_optimizer_refuses_are_an_input_error(tiny_config: MakeConfig) -> None:
    config = tiny_config("optimizer={name: sgd, lr: 0.1, weight_decay: 0.0, momentum: 0.5, nesterov: true}")
    refused = config.optimizer.model_copy(update={"momentum": 0.0})  # which a config file is refused, too
    config = config.model_copy(update={"optimizer": refused})
    with pytest.raises(InputError, match="optimizer: sgd refuses its settings: Nesterov") as info:
        build_optimizers(ManyKinds(), config)
    assert "\n" not in str(info.value)


def test_lars_takes_steps_in_proportion_to_the_weights_even_without_decay(tiny_config: MakeConfig) -> None:
    config = tiny_config("optimizer={name: lars, lr: 0.5, weight_decay: 0.0, momentum: 0.0, trust_coeff: 0.01}")
    task = ManyKinds()
    optimizer = build_optimizers(task, config)["space"]
    now = dict(task.bodies["space"].named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in now.items()}
    for parameter in now.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    step = (now["body.weight"].detach() - before["body.weight"]).norm()
    torch.testing.assert_close(step, 0.5 * 0.01 * before["body.weight"].norm(), rtol=1e-4, atol=0)
    torch.testing.assert_close(now["body.bias"].detach(), before["body.bias"] - 0.5)


# ------------------------------------------------------------------------------------------------- the schedule


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_its_formula_after_a_linear_warm_up(tiny_config: MakeConfig, name: str) -> None:
    factors = schedule_factors(tiny_config(f"scheduler={SCHEDULES[name]}").scheduler, 100)
    assert len(factors) == 101
    expected = [(step + 1) / 21 for step in range(20)] + [EXPECTED[name](step / 80) for step in range(81)]
    assert factors.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 7])
def test_short_schedules_begin_at_the_top_and_stay_positive(tiny_config: MakeConfig, name: str, total: int) -> None:
    text = SCHEDULES[name].replace("warmup: 0.2", "warmup: 0.0")
    factors = schedule_factors(tiny_config(f"scheduler={text}").scheduler, total)
    assert factors[0] == 1
    assert (factors[:total] > 0).all()
    assert factors.max() == 1


@pytest.mark.parametrize(("warmup", "total", "steps"), [(0.29, 100, 29), (0.1, 15, 1), (0.999999999999, 10, 9)])
def test_a_warm_up_takes_whole_steps(tiny_config: MakeConfig, warmup: float, total: int, steps: int) -> None:
    factors = schedule_factors(tiny_config(f"scheduler={{name: constant, warmup: {warmup}}}").scheduler, total)
    assert factors.tolist() == [(step + 1) / (steps + 1) for step in range(steps)] + [1.0] * (total + 1 - steps)


def test_a_schedule_warns_of_nothing_and_draws_nothing(
    tiny_config: MakeConfig, recwarn: pytest.WarningsRecorder
) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for text in SCHEDULES.values():
        schedule_factors(tiny_config(f"scheduler={text}").scheduler, 10)
    assert torch.equal(torch.get_rng_state(), before)
    assert not [warning for warning in recwarn if warning.category is not ResourceWarning]


# ---------------------------------------------------------------------------------------------------- the turns


@pytest.mark.parametrize(
    ("percent", "steps", "interval"), [(10, 100, 10), (0.001, 100, 1), (100, 7, 7), (150, 10, 15), (50, 3, 2)]
)
def test_an_interval_is_a_share_of_an_epoch_and_a_step_at_least(
    tiny_config: MakeConfig, percent: float, steps: int, interval: int
) -> None:
    config = tiny_config(f"alternating_interval={float(percent)}")
    assert Turns.of(config, LEVELS, steps).interval == interval


@pytest.mark.parametrize("interval", [1, 2, 5])
@pytest.mark.parametrize("levels", [LEVELS[:2], LEVELS, ("backbone", *LEVELS)])
def test_turns_alternate_and_count_the_steps_of_every_level(interval: int, levels: tuple[str, ...]) -> None:
    turns = Turns(levels, interval)
    done = dict.fromkeys(levels, 0)
    for step in range(23):
        assert {level: turns.steps_of(level, step) for level in levels} == done
        active = turns.active(step)
        assert active == tuple(levels[i] for i in range(len(levels)) if i % 2 == step // interval % 2)
        for level in active:
            done[level] += 1


def test_without_an_interval_all_train_always() -> None:
    turns = Turns(LEVELS, None)
    assert turns.active(17) == LEVELS
    assert turns.steps_of("time", 17) == 17


def test_a_single_level_cannot_take_turns(tiny_config: MakeConfig) -> None:
    with pytest.raises(InputError, match="set it to null"):
        Turns.of(tiny_config("alternating_interval=10.0"), ("vicreg",), 10)
