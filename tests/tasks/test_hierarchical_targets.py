"""Whose units are predicted, and how well: the model's own, or its teacher's."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from architecture.hierarchy import Reached, Units
from config.schema import Config
from losses import mse
from tasks.hierarchical import HierarchicalTask
from tasks.objective import Targets
from tasks.unit_targets import UnitTargets
from tests.tasks.hierarchical_cases import (
    EMA,
    NONE,
    STEM,
    TWO_VIEWS,
    VICREG,
    MakeConfig,
    losses_of,
    make_batch,
    make_config,
    make_step,
    make_task,
    make_video,
    objective_of,
    settings,
    targets_of,
    total,
)

# ---------------------------------------------------------------------------------------------------- targets


def fake_units(config: Config) -> Units:
    """Units that carry their own number: the i-th of level l is 100 l + i everywhere; states 10,000 more."""

    def numbered(count: int, dim: int, first: int) -> Tensor:
        return (first + torch.arange(count))[None, :, None].expand(2, -1, dim).float()

    summaries: dict[str, Tensor] = {}
    states: dict[str, Tensor] = {}
    for place, level in enumerate(config.groups):
        summaries[level] = numbered(config.geometry.units(level), config.dim(level), 100 * place)
        if config.causal(level):
            count = config.geometry.units(level) * config.geometry.tokens(level)
            flat = numbered(count, config.dim(level), 10_000 + 100 * place)
            states[level] = flat.unflatten(1, (config.geometry.units(level), -1))
    patches = numbered(6 * 6, config.dim("backbone"), 0).unflatten(1, (6, 6))
    return Units(patches, summaries, states)


def climb(units: Units) -> Iterator[Reached]:
    """These units as an encoder gives them, level by level."""
    for level, summaries_BUD in units.summaries.items():
        tokens = units.patches_BTPD if level == "backbone" else units.states.get(level, summaries_BUD)
        yield Reached(level, summaries_BUD, tokens, is_causal=level in units.states)


def numbers(units: Tensor | None) -> list[int]:
    assert units is not None
    return [int(number) for number in units[1, :, -1]]


def test_every_level_gets_its_neighbours_in_the_order_of_time(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tiny_config, "b3", ("time",), (NONE, STEM), "target_norm=none")
    task, units = make_task(config), fake_units(config)
    monkeypatch.setattr(task.hierarchy, "climb", lambda *_: climb(units))
    found = targets_of(task, make_batch(task, 2))
    assert [numbers(targets.own_BUD) for targets in found.values()] == [
        list(range(36)),
        [100, 101, 102, 103, 104, 105],
        [200, 201, 202],
        [300],
    ]
    assert found["backbone"].below_BME is None
    assert numbers(found["space"].below_BME) == list(range(36))
    assert numbers(found["time"].below_BME) == [100, 101, 102, 103, 104, 105]
    assert numbers(found["clip"].below_BME) == [200, 201, 202]
    assert numbers(found["backbone"].above_BVF) == [100, 101, 102, 103, 104, 105]
    assert numbers(found["space"].above_BVF) == [10_200, 10_201, 10_202, 10_203, 10_204]  # states, not the last
    assert numbers(found["time"].above_BVF) == [300]
    assert found["clip"].above_BVF is None


def test_the_state_before_a_unit_knows_nothing_of_it(tiny_config: MakeConfig) -> None:
    # The i-th frame is changed: what frames 1 to i predict upwards stays, what later ones predict does not.
    options = (NONE, "target_norm=none", "architecture_time.dropout=0.0")
    task = make_task(make_config(tiny_config, "2", ("time",), options))
    video = make_video()
    before = UnitTargets(task.config, task.hierarchy.encode(video), video).of("space").above_BVF
    assert before is not None
    assert before.shape[1] == 5
    for frame in range(6):
        changed = video.clone()
        changed[:, frame] += 1
        after = UnitTargets(task.config, task.hierarchy.encode(changed), changed).of("space").above_BVF
        assert after is not None
        for unit in range(1, 6):  # its target is number unit - 1
            assert torch.equal(after[:, unit - 1], before[:, unit - 1]) == (frame > unit - 1)


@pytest.mark.parametrize("hierarchy", ["3", "b3"])
def test_the_lowest_down_target_is_the_pixels_or_the_token_of_the_same_patch(
    tiny_config: MakeConfig, hierarchy: str
) -> None:
    for down_target, width in (("pixels", 3 * 8 * 8), ("stem", 14)):
        task = make_task(make_config(tiny_config, hierarchy, (), (NONE,), f"down_target={down_target}"))
        target = targets_of(task, make_batch(task))["space"].below_BME
        assert target is not None
        assert target.shape == (3, 36, width)
        patch = make_video()[1, 4, :, 8:16, 16:24].permute(1, 2, 0).flatten()  # row 1, column 2 of 2 x 3 patches
        if down_target == "stem":
            patches = task.hierarchy.stem(make_video()).flatten(0, 2)
            standardised = (patches - patches.mean(dim=0)) / (patches.std(dim=0, correction=0) + 1e-5)
            patch = standardised[(1 * 6 + 4) * 6 + 5].detach()
        eps = 1.0 if down_target == "pixels" else 1e-5
        expected = torch.nn.functional.layer_norm(patch, patch.shape, eps=eps)
        torch.testing.assert_close(target[1, 4 * 6 + 5], expected)


def assert_targets(found: dict[str, Targets], task: HierarchicalTask, units: Units, video: Tensor) -> None:
    """`found` are those that `units` of `video` make."""
    expected = UnitTargets(task.config, units, video)
    for level in task.config.groups:
        for name, tensor in vars(expected.of(level)).items():
            if tensor is not None:
                torch.testing.assert_close(getattr(found[level], name), tensor, rtol=1e-4, atol=1e-5)


NOISY = ("architecture_space.dropout=0.3", "interlevel_noise=0.3", "output_batchnorm=true")


# ---------------------------------------------------------------------------------------------------- teacher


def ema_task(tiny_config: MakeConfig) -> HierarchicalTask:
    return make_task(
        make_config(tiny_config, "b3", ("time",), (VICREG, EMA, *NOISY), "ema={momentum: 0.8, final_momentum: 0.98}")
    )


def train_step(task: HierarchicalTask, progress: float) -> None:
    parameters = [parameter for group in task.parameter_groups().values() for parameter in group.all()]
    optimizer = torch.optim.SGD(parameters, lr=0.05)
    torch.stack([total(terms) for terms in losses_of(task).values()]).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    task.after_step(progress)


def test_the_teacher_starts_as_the_model_and_follows_by_the_schedule(tiny_config: MakeConfig) -> None:
    task = ema_task(tiny_config)
    assert task.teacher is not None
    assert task.encoder is task.hierarchy
    expected = {name: value.clone() for name, value in task.hierarchy.state_dict().items()}
    assert all(torch.equal(value, expected[name]) for name, value in task.teacher.state_dict().items())
    for progress in (0.25, 0.5, 1.0):
        train_step(task, progress)
        momentum = 0.98 - 0.18 * 0.5 * (1 + math.cos(math.pi * progress))
        parameters = dict(task.hierarchy.named_parameters())
        for name, value in task.hierarchy.state_dict().items():
            followed = momentum * expected[name] + (1 - momentum) * value
            expected[name] = followed if name in parameters else value.clone()
        for name, value in task.teacher.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7)
    moved = [name for name, value in task.hierarchy.state_dict().items() if not torch.equal(value, expected[name])]
    assert "stem.project.weight" in moved


def test_the_teachers_units_are_the_targets_whatever_the_mode(tiny_config: MakeConfig) -> None:
    task = ema_task(tiny_config)
    assert task.teacher is not None
    train_step(task, 0.5)
    for mode in (True, False):
        task.train(mode)
        assert not any(module.training for module in task.teacher.modules())
        assert all(module.training == mode for module in task.hierarchy.modules())
        batch = make_batch(task)
        with torch.no_grad():
            units, own = task.teacher.encode(batch.videos[0]), task.hierarchy.eval().encode(batch.videos[0])
        task.train(mode)
        assert_targets(targets_of(task, batch), task, units, batch.videos[0])
        assert not torch.allclose(units.summaries["clip"], own.summaries["clip"])


def test_a_resumed_teacher_goes_on_as_if_nothing_had_happened(tiny_config: MakeConfig) -> None:
    task = ema_task(tiny_config)
    train_step(task, 0.25)
    resumed = ema_task(tiny_config)
    resumed.load_state_dict(task.state_dict())
    for each in (task, resumed):
        torch.manual_seed(0)
        train_step(each, 0.5)
    state = resumed.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in task.state_dict().items())
    assert any(name.startswith("teacher.") for name in state)


def test_only_ema_has_a_teacher(tiny_config: MakeConfig) -> None:
    for options in ((), (TWO_VIEWS,)):
        task = make_task(tiny_config(*options))
        assert task.teacher is None
        before = {name: value.clone() for name, value in task.state_dict().items()}
        task.after_step(0.5)
        assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


# --------------------------------------------------------------------------------------------------- monitors


@settings
def test_prediction_errors_tell_the_own_target_from_anothers(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options))
    losses_of(task)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    video = make_video(4, task.config.window.length)
    errors = task.prediction_errors(video, torch.Generator().manual_seed(0))
    assert {level: set(found) for level, found in errors.items()} == {
        level: set(objective_of(task, level).predictors) for level in task.config.groups
    }
    assert all(own > 0 and other > 0 for found in errors.values() for own, other in found.values())
    assert errors == task.prediction_errors(video, torch.Generator().manual_seed(0))
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert task.training
    assert task.hierarchy.training
    assert task.teacher is None or not task.teacher.training


def test_prediction_errors_are_those_of_the_models_own_units_in_evaluation_mode(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config(NONE, TWO_VIEWS, *NOISY))
    losses_of(task)
    video = make_video(4)
    errors = task.prediction_errors(video, torch.Generator().manual_seed(0))
    task.eval()
    units = task.hierarchy.encode(video)
    targets = UnitTargets(task.config, units, video).of("time")
    assert targets.above_BVF is not None
    prediction = objective_of(task, "time").predictors["up"](units.summaries["time"])
    target = targets.above_BVF.expand(-1, 3, -1)
    expected = (mse(prediction, target), mse(prediction, target.roll(1, dims=0)))
    assert errors["time"]["up"] == pytest.approx([float(error.detach()) for error in expected])


def test_what_has_been_learned_by_heart_fits_its_own_window_better(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config(NONE))
    batch = make_batch(task)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.003)
    for _ in range(300):
        optimizer.zero_grad()
        total(task.losses(batch, make_step())["space"]).backward()
        optimizer.step()
    own, other = task.prediction_errors(batch.videos[0], torch.Generator())["space"]["down"]
    assert own < 0.9 * other


def test_a_single_window_has_no_other_to_be_held_against(tiny_config: MakeConfig) -> None:
    assert make_task(tiny_config()).prediction_errors(make_video(1), torch.Generator()) == {}
