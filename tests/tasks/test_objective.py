"""Who predicts whom: every target carries its own number, so that a prediction can be held against what it is for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from config.schema import Config
from losses import mse
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.objective import LevelObjective, LevelView, Targets

MakeConfig = Callable[..., Config]
BATCH, FRAMES, PATCHES, CLIPS, PER_CLIP = 3, 6, 6, 3, 2
FOUR = "groups=[backbone,space,time,clip]"
TWO_VIEWS = "views.space=[strong,strong]"
NO_GUARD = "regularizer={name: none}"


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int, dim: int) -> Tensor:
    """[BATCH, count, dim]: vector m of window b holds m + 1000 b everywhere."""
    number_BM = torch.arange(count) + 1000 * torch.arange(BATCH)[:, None]
    return number_BM[..., None].expand(-1, -1, dim).float()


def make_objective(config: Config, level: Any) -> LevelObjective:
    torch.manual_seed(0)
    return LevelObjective(config, level).train()


def make_view(config: Config, level: Any) -> LevelView:
    """Random units, and targets with numbers."""
    groups = list(config.groups)
    units, tokens = config.geometry.units(level), config.geometry.tokens(level)
    higher = groups[groups.index(level) + 1] if level != groups[-1] else None
    below = {"space": 3 * 8 * 8, "time": config.dim("space"), "clip": config.dim("time")}.get(level, 0)
    above = None
    if higher is not None:
        above = numbered(units - 1 if config.causal(higher) else config.geometry.units(higher), config.dim(higher))
    targets = Targets(
        numbered(units, config.dim(level)), numbered(units * tokens, below) if tokens else None, above_BVF=above
    )
    states = rand(BATCH, units * tokens, config.dim(level), seed=1) if tokens and config.causal(level) else None
    return LevelView(rand(BATCH, units, config.dim(level)), states, targets)


def random_view(seed: int = 0) -> LevelView:
    """Random units and random targets of `space`."""
    own, below, above = (
        rand(BATCH, 6, 16, seed=seed + 3),
        rand(BATCH, 36, 192, seed=seed + 4),
        rand(BATCH, 3, 20, seed=seed + 5),
    )
    return LevelView(rand(BATCH, 6, 16, seed=seed), None, Targets(own, below, above))


def number(target: Tensor, *index: int) -> int:
    """Which unit a target is, after checking that it is of the right window."""
    values = target[index].unique()
    assert len(values) == 1
    window, unit = divmod(int(values), 1000)
    assert window == index[0]
    return unit


# --------------------------------------------------------------------------------------------- up, down, side


@pytest.mark.parametrize(("level", "inside"), [("backbone", PATCHES), ("space", PER_CLIP), ("time", CLIPS)])
def test_up_predicts_the_unit_that_this_one_is_part_of(tiny_config: MakeConfig, level: str, inside: int) -> None:
    config = tiny_config(FOUR)
    objective, view = make_objective(config, level), make_view(config, level)
    prediction, target = objective.eval().predict(view, generator())["up"]
    assert prediction.shape == target.shape
    assert prediction.shape[1] == view.own_BUD.shape[1]
    for window, unit in itertools.product(range(BATCH), range(view.own_BUD.shape[1])):
        assert number(target, window, unit) == unit // inside
        torch.testing.assert_close(prediction[window, unit], objective.predictors["up"](view.own_BUD[window, unit]))


@pytest.mark.parametrize(("level", "above"), [("backbone", "space"), ("space", "time"), ("time", "clip")])
def test_up_to_a_causal_level_predicts_the_state_before(tiny_config: MakeConfig, level: str, above: str) -> None:
    config = tiny_config(FOUR, f"architecture_{above}.causal_mask=true")
    objective, view = make_objective(config, level), make_view(config, level)
    prediction, target = objective.eval().predict(view, generator())["up"]
    assert prediction.shape[1] == view.own_BUD.shape[1] - 1
    for window, unit in itertools.product(range(BATCH), range(1, view.own_BUD.shape[1])):
        assert number(target, window, unit - 1) == unit - 1  # the state that has seen all before `unit`, and not it
        torch.testing.assert_close(prediction[window, unit - 1], objective.predictors["up"](view.own_BUD[window, unit]))


@pytest.mark.parametrize("level", ["space", "time", "clip"])
@pytest.mark.parametrize("down_targets", ["all", "sampled"])
@pytest.mark.parametrize("temporal", [True, False])
@pytest.mark.parametrize("positions", ["per_sample", "per_batch"])
def test_down_predicts_units_below_where_it_is_told(
    tiny_config: MakeConfig, level: str, down_targets: str, temporal: bool, positions: str
) -> None:
    config = tiny_config(
        f"down_targets={down_targets}", f"use_temporal_prediction={temporal}".lower(), f"positions={positions}"
    )
    objective, view = make_objective(config, level), make_view(config, level)
    prediction, target = objective.eval().predict(view, generator())["down"]
    units, tokens = config.geometry.units(level), config.geometry.tokens(level)
    predicted = 1 if down_targets == "sampled" else tokens if temporal else units * tokens
    assert prediction.shape == target.shape == (BATCH, units, predicted, prediction.shape[-1])
    found: dict[int, list[list[int]]] = {}
    for window, unit in itertools.product(range(BATCH), range(units)):
        indices = [number(target, window, unit, k) for k in range(predicted)]
        found.setdefault(window, []).append(indices)
        for k, index in enumerate(indices):
            group, token = divmod(index, tokens)
            places = [torch.tensor(token)] if temporal else [torch.tensor(token), torch.tensor(group)]
            expected = objective.predictors["down"](view.own_BUD[window, unit], *places)
            torch.testing.assert_close(prediction[window, unit, k], expected)
            assert group == unit or not temporal
        if down_targets == "all":
            whole = range(units * tokens)
            assert indices == (list(whole[unit * tokens : (unit + 1) * tokens]) if temporal else list(whole))
    if positions == "per_batch" or down_targets == "all":
        assert found[0] == found[1] == found[2]
    elif level == "space":  # with so few units, time and clip may well draw the same twice
        assert found[0] != found[1] != found[2] != found[0]


@pytest.mark.parametrize("level", ["backbone", "space", "time"])
@pytest.mark.parametrize("positions", ["per_sample", "per_batch"])
def test_side_predicts_one_other_time_at_the_same_place(tiny_config: MakeConfig, level: str, positions: str) -> None:
    config = tiny_config(FOUR, f"positions={positions}")
    objective, view = make_objective(config, level), make_view(config, level)
    prediction, target = objective.eval().predict(view, generator())["side"]
    assert prediction.shape == target.shape == view.own_BUD.shape
    places = PATCHES if level == "backbone" else 1
    times = view.own_BUD.shape[1] // places
    drawn: dict[int, list[int]] = {window: [] for window in range(BATCH)}
    distances = set()
    for window, unit in itertools.product(range(BATCH), range(view.own_BUD.shape[1])):
        other_time, other_place = divmod(number(target, window, unit), places)
        time, place = divmod(unit, places)
        assert other_place == place
        assert other_time != time
        drawn[window].append(other_time)
        distances.add(other_time - time)
        where = torch.tensor(other_time - time + times - 1)
        torch.testing.assert_close(
            prediction[window, unit], objective.predictors["side"](view.own_BUD[window, unit], where)
        )
    assert min(distances) < 0 < max(distances)
    table = objective.predictors["side"].get_parameter("places.0.weight")
    assert len(table) == 2 * times - 1
    assert (drawn[0] == drawn[1] == drawn[2]) == (positions == "per_batch")
    if level == "backbone":  # every patch draws for itself
        assert len({tuple(drawn[0][place::places]) for place in range(places)}) > 1


def test_drawn_targets_are_a_function_of_the_generator_alone(tiny_config: MakeConfig) -> None:
    config = tiny_config(FOUR, "down_targets=sampled")
    objective, view = make_objective(config, "space"), make_view(config, "space")

    def drawn(seed: int) -> Tensor:
        pairs = objective.predict(view, generator(seed))
        return torch.cat([pairs["down"][1][..., 0].flatten(1), pairs["side"][1][..., 0]], dim=1)

    torch.manual_seed(1)
    first = drawn(5)
    torch.manual_seed(2)
    assert torch.equal(drawn(5), first)
    assert not torch.equal(drawn(6), first)


def test_side_draws_from_the_truncated_normal_of_the_config(tiny_config: MakeConfig) -> None:
    for divisor, far in ((1000.0, False), (1.0, True)):
        config = tiny_config(FOUR, f"std_divisor={divisor}")
        objective, view = make_objective(config, "space"), make_view(config, "space")
        target = torch.stack([objective.predict(view, generator(s))["side"][1] for s in range(9)])
        distance = (target[..., 0] % 1000 - torch.arange(FRAMES)).abs()
        assert (distance.max() > 1) == far


@pytest.mark.parametrize("level", ["space", "time", "clip"])
@pytest.mark.parametrize(
    "options", [(), ("down_targets=sampled", "positions=per_batch"), ("use_temporal_prediction=false",)]
)
def test_every_state_of_a_causal_level_predicts_the_next_token(
    tiny_config: MakeConfig, level: str, options: tuple[str, ...]
) -> None:
    config = tiny_config(f"architecture_{level}.causal_mask=true", *options)
    objective, view = make_objective(config, level), make_view(config, level)
    assert view.states_BMD is not None
    prediction, target = objective.eval().predict(view, generator())["down"]
    count = config.geometry.units(level) * config.geometry.tokens(level)
    assert prediction.shape[:2] == target.shape[:2] == (BATCH, count - 1)
    for window, token in itertools.product(range(BATCH), range(count - 1)):  # across the borders of units too
        assert number(target, window, token) == token + 1
        torch.testing.assert_close(
            prediction[window, token], objective.predictors["down"](view.states_BMD[window, token])
        )


@pytest.mark.parametrize(
    ("overrides", "level", "directions"),
    [
        ((), "space", {"up", "down", "side"}),
        (("loss_weights.space={up: 0.5, down: 0, side: 0}",), "space", {"up"}),
        (("loss_weights.space={up: 0, down: 0, side: 0.5}",), "space", {"side"}),
        (("loss_weights.clip={up: 1, down: 1, side: 1}",), "clip", {"down"}),  # nothing above, and nothing beside
        ((FOUR, "loss_weights.backbone={up: 1, down: 1, side: 1}"), "backbone", {"up", "side"}),  # nothing below
        (("use_temporal_prediction=false",), "space", {"up", "down"}),
        ((FOUR, "use_temporal_prediction=false"), "backbone", {"up"}),
        (("groups=[backbone,space]", "window.length=1", "frames_per_clip=1"), "backbone", {"up"}),
        (("groups=[backbone,space]", "window.length=1", "frames_per_clip=1"), "space", {"down"}),
    ],
)
def test_only_what_has_a_weight_and_a_neighbour_is_predicted(
    tiny_config: MakeConfig, overrides: tuple[str, ...], level: str, directions: set[str]
) -> None:
    config = tiny_config(*overrides, NO_GUARD)
    objective, view = make_objective(config, level), make_view(config, level)
    assert set(objective.predictors) == directions
    assert set(objective([view], generator())) == directions
    assert [name for name, _ in objective.named_children()] == ["predictors"]
    assert [name for name, _ in objective.named_buffers() if not name.startswith("predictors.")] == []


def test_a_level_without_weights_predicts_nothing(tiny_config: MakeConfig) -> None:
    config = tiny_config(NO_GUARD)
    settings = config.section(HierarchicalSettings)
    one_level = settings.model_copy(update={"loss_weights": {"space": settings.weights_of("space")}})
    config = config.model_copy(update={"hierarchical": one_level})
    assert len(make_objective(config, "time").predictors) == 0


# ------------------------------------------------------------------------------------------- losses, weights

LOSSES: list[tuple[str, str]] = [
    ("mse", "{}"),
    ("smooth_l1", "{beta: 0.5}"),
    ("cs", "{}"),
    ("ce", "{target_temperature: 0.3}"),
    ("vicreg", "{covariance: 2.0}"),
    ("barlow", "{redundancy: 0.1}"),
]


@pytest.mark.parametrize(("name", "params"), LOSSES)
def test_every_direction_has_the_loss_of_the_config(tiny_config: MakeConfig, name: str, params: str) -> None:
    weights = "loss_weights.space={up: 2, down: 3, side: 5}"
    config = tiny_config(f"loss_fn={name}", f"loss_params={params}", weights, NO_GUARD)
    objective, view = make_objective(config, "space"), random_view()
    pairs = objective.predict(view, generator())
    terms = objective([view], generator())
    loss = config.section(HierarchicalSettings).loss
    for direction, weight in {"up": 2, "down": 3, "side": 5}.items():
        expected = weight * loss(*pairs[direction])  # type: ignore[index]
        torch.testing.assert_close(terms[direction], expected)


def test_with_two_views_every_term_is_the_mean_over_the_views(tiny_config: MakeConfig) -> None:
    weights = ("loss_weights.space={up: 2, down: 3, side: 5, invariance: 7}", TWO_VIEWS)
    config = tiny_config(*weights, "down_targets=sampled")
    objective, views = make_objective(config, "space"), [random_view(), random_view(seed=10)]
    terms = objective(views, generator())
    drawn = generator()  # the second view draws after the first
    pairs = [objective.predict(view, drawn) for view in views]
    for direction, weight in {"up": 2, "down": 3, "side": 5}.items():
        first, second = (mse(*pair[direction]) for pair in pairs)  # type: ignore[index]
        torch.testing.assert_close(terms[direction], weight * (first + second) / 2)
        assert (first - second).abs() > 1e-3
    one_by_one = [make_objective(config, "space")([view], generator()) for view in views]
    assert set(one_by_one[0]) == {"up", "down", "side", "variance", "covariance"}
    for name in ("variance", "covariance"):
        torch.testing.assert_close(terms[name], (one_by_one[0][name] + one_by_one[1][name]) / 2)
    projected = [objective.guard.projector(view.own_BUD.flatten(0, 1)) for view in views]
    torch.testing.assert_close(terms["invariance"], 7 * mse(*projected))
    assert set(terms) == {*one_by_one[0], "invariance"}


def test_the_weight_of_the_invariance_moves_to_one_too(tiny_config: MakeConfig) -> None:
    moving = ("loss_weights.space.invariance=0.25", TWO_VIEWS, "interpolate_loss_weights_to_uniformity=true")
    config = tiny_config(*moving, "regularizer.min_vectors=2")  # nothing of earlier steps
    objective, views = make_objective(config, "space"), [random_view(), random_view(seed=10)]
    start, half, end = (objective(views, generator(), progress)["invariance"] for progress in (0.0, 0.5, 1.0))
    torch.testing.assert_close(start, 0.25 * end)
    torch.testing.assert_close(half, 0.625 * end)


def test_weights_above_zero_move_to_one(tiny_config: MakeConfig) -> None:
    weights = "loss_weights.space={up: 0.25, down: 3, side: 0}"
    config = tiny_config(weights, "interpolate_loss_weights_to_uniformity=true", NO_GUARD)
    before = config.model_dump()
    objective, view = make_objective(config, "space"), make_view(config, "space")
    start, half, end = (objective([view], generator(), progress) for progress in (0.0, 0.5, 1.0))
    assert set(half) == {"up", "down"}
    for direction, first, middle in (("up", 0.25, 0.625), ("down", 3.0, 2.0)):
        torch.testing.assert_close(start[direction], first * end[direction])
        torch.testing.assert_close(half[direction], middle * end[direction])
    assert config.model_dump() == before
    fixed = make_objective(tiny_config(weights, NO_GUARD), "space")
    for direction, term in fixed([view], generator(), 0.5).items():
        torch.testing.assert_close(term, start[direction])


def test_the_guard_sees_all_units_of_all_windows(tiny_config: MakeConfig) -> None:
    config = tiny_config(FOUR)
    objective, view = make_objective(config, "backbone"), make_view(config, "backbone")
    expected = objective.guard([view.own_BUD.flatten(0, 1)], 0.0, generator())
    terms = objective([view], generator())
    assert set(terms) == {"up", "side", "variance", "covariance"}
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)


# --------------------------------------------------------------------------------------------------- centre


def centred(tiny_config: MakeConfig) -> LevelObjective:
    return make_objective(tiny_config("loss_fn=ce", "loss_params={centre_momentum: 0.75}", NO_GUARD), "space")


def test_a_centre_is_the_running_mean_of_a_directions_targets(tiny_config: MakeConfig) -> None:
    objective, view = centred(tiny_config), random_view()
    assert view.targets.above_BVF is not None
    assert view.targets.below_BME is not None
    expected = {"up_centre_D": torch.zeros(20), "down_centre_D": torch.zeros(192)}
    for _ in range(3):
        objective([view], generator())
        for name, units in (("up_centre_D", view.targets.above_BVF), ("down_centre_D", view.targets.below_BME)):
            expected[name] = 0.75 * expected[name] + 0.25 * units.mean(dim=(0, 1))
    buffers = {name: buffer for name, buffer in objective.named_buffers() if name.endswith("_centre_D")}
    assert set(buffers) == {"up_centre_D", "down_centre_D", "side_centre_D"}
    for name, centre in expected.items():
        torch.testing.assert_close(buffers[name], centre)
    assert set(buffers) <= set(objective.state_dict())


def test_the_loss_takes_off_the_centre_that_it_finds(tiny_config: MakeConfig) -> None:
    objective, view = centred(tiny_config), random_view()
    objective([view], generator())
    centre = objective.get_buffer("up_centre_D").clone()
    prediction, target = objective.predict(view, generator())["up"]
    expected = objective.settings.loss(prediction, target, centre)
    uncentred = objective.settings.loss(prediction, target)
    term = objective([view], generator())["up"]
    torch.testing.assert_close(term, expected)
    assert (term - uncentred).abs() > 1e-4


def test_both_views_are_centred_alike_and_move_the_centre_once(tiny_config: MakeConfig) -> None:
    objective, views = centred(tiny_config), [random_view(), random_view(seed=10)]
    objective([random_view(seed=20)], generator())
    centre = objective.get_buffer("up_centre_D").clone()
    expected = [objective.settings.loss(*objective.predict(view, generator())["up"], centre) for view in views]
    torch.testing.assert_close(objective(views, generator())["up"], torch.stack(expected).mean())
    above = [view.targets.above_BVF for view in views]
    assert above[0] is not None
    assert above[1] is not None
    moved = 0.75 * centre + 0.25 * torch.cat([above[0], above[1]]).mean(dim=(0, 1))
    torch.testing.assert_close(objective.get_buffer("up_centre_D"), moved)


def test_a_centre_stays_in_evaluation_and_where_a_target_is_not_finite(tiny_config: MakeConfig) -> None:
    objective, view = centred(tiny_config), random_view()
    objective([view], generator())
    before = {name: b.clone() for name, b in objective.named_buffers() if name.endswith("_centre_D")}
    objective.eval()
    objective([view], generator())
    objective.train()
    spoilt = Targets(*(torch.full_like(x, torch.nan) for x in vars(view.targets).values()))
    assert objective([replace(view, targets=spoilt)], generator())["up"].isnan()
    assert len(before) == 3
    assert all(torch.equal(objective.get_buffer(name), buffer) for name, buffer in before.items())


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("causal", [(), ("architecture_space.causal_mask=true", "architecture_time.causal_mask=true")])
def test_errors_are_against_the_own_and_another_windows_target(
    tiny_config: MakeConfig, causal: tuple[str, ...]
) -> None:
    config = tiny_config("down_targets=sampled", "loss_fn=ce", *causal)
    objective, view = make_objective(config, "space").eval(), make_view(config, "space")
    errors = objective.errors(view, seed=4)
    pairs = objective.predict(view, generator(4))
    assert set(errors) == {"up", "down", "side"}
    for direction, (prediction, target) in pairs.items():
        # The same unit of the window before: 1000 less; of the first window, that of the last.
        change = torch.tensor([1000.0 * (BATCH - 1), -1000, -1000]).view(-1, *[1] * (target.ndim - 1))
        expected = (mse(prediction, target), mse(prediction, target + change))
        assert errors[direction] == pytest.approx([float(error.detach()) for error in expected])
