"""The loss of a level changes the parameters of that level alone: exact, for every level, term and setting."""

from __future__ import annotations

import pytest
import torch

from tasks.encoder import build_hierarchy
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.task import StepContext
from tests.tasks.hierarchical_cases import (
    ALIKE,
    ANYWHERE,
    EMA,
    GUARDS,
    HIERARCHIES,
    NONE,
    SAMPLED,
    SETTINGS,
    SIGREG,
    STEM,
    TWO_VIEWS,
    VICREG,
    MakeConfig,
    losses_of,
    make_batch,
    make_config,
    make_task,
    make_video,
    moved_groups,
    settings,
    total,
)

# ------------------------------------------------------------------------------------------ gradient isolation


@settings
def test_strict_every_term_moves_its_own_level_and_no_other(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options, "isolation=strict"))
    losses = losses_of(task)
    wanted = HIERARCHIES[hierarchy][1]
    unwanted = {"side"} if ANYWHERE in options else set()
    common = GUARDS[options[0]] | ({"invariance"} if ALIKE in options else set())
    assert {level: set(terms) for level, terms in losses.items()} == {
        level: terms - unwanted | common for level, terms in wanted.items()
    }
    for level, terms in losses.items():
        assert moved_groups(task, total(terms)) == {level}
        for term, loss in terms.items():
            assert loss.isfinite()
            assert moved_groups(task, loss) == {level}, term


@settings
def test_overlap_every_term_moves_its_own_level_and_the_one_below(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options, "isolation=overlap"))
    losses = losses_of(task)
    levels = list(losses)
    for place, (_, terms) in enumerate(losses.items()):
        for term, loss in terms.items():
            assert moved_groups(task, loss) == set(levels[max(0, place - 1) : place + 1]), term


@settings
def test_end2end_every_term_moves_all_levels_below_and_none_above(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options, "isolation=end2end"))
    losses = losses_of(task)
    levels = list(losses)
    for place, (_, terms) in enumerate(losses.items()):
        for term, loss in terms.items():
            assert moved_groups(task, loss) == set(levels[: place + 1]), term


@pytest.mark.parametrize("causal", [(), ("space", "time", "clip")])
@pytest.mark.parametrize("views", [(), (TWO_VIEWS,)])
def test_targets_that_are_not_detached_leak(
    tiny_config: MakeConfig, causal: tuple[str, ...], views: tuple[str, ...]
) -> None:
    options = (NONE, STEM, *views, "detach_targets=false")
    losses = losses_of(task := make_task(make_config(tiny_config, "b3", causal, options)))
    levels = list(losses)
    for place, level in enumerate(levels):
        for direction, loss in losses[level].items():
            other = {"up": place + 1, "down": place - 1, "side": place}[direction]
            assert moved_groups(task, loss) == {level, levels[other]}, (level, direction)


@pytest.mark.parametrize("views", [(), (TWO_VIEWS,)])
def test_targets_of_a_teacher_never_leak(tiny_config: MakeConfig, views: tuple[str, ...]) -> None:
    config = make_config(tiny_config, "b3", ("time",), (NONE, STEM, EMA, *views))
    undetached = {"detach_targets": False, "detach_side_targets": False}  # which a config file is refused
    settings = config.section(HierarchicalSettings).model_copy(update=undetached)
    task = make_task(config.model_copy(update={"hierarchical": settings}))
    for level, terms in losses_of(task).items():
        for term, loss in terms.items():
            assert moved_groups(task, loss) == {level}, term


def test_pixels_never_leak(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "b3", (), (NONE,), "detach_targets=false"))
    assert moved_groups(task, losses_of(task)["space"]["down"]) == {"space"}


@pytest.mark.parametrize(("hierarchy", "causal", "options"), SETTINGS[:8])
def test_the_losses_are_the_same_however_gradient_may_cross(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    strict, overlap, joined = (
        losses_of(make_task(make_config(tiny_config, hierarchy, causal, options, f"isolation={isolation}")))
        for isolation in ("strict", "overlap", "end2end")
    )
    for level, terms in strict.items():
        for term, loss in terms.items():
            assert torch.equal(loss, joined[level][term])
            torch.testing.assert_close(loss, overlap[level][term])


def test_isolation_holds_under_autocast_and_with_dropout(tiny_config: MakeConfig) -> None:
    dropout = tuple(f"architecture_{level}.dropout=0.2" for level in ("space", "time", "clip"))
    task = make_task(make_config(tiny_config, "b3", ("time",), (VICREG, TWO_VIEWS, ALIKE, *dropout)))
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(task)
    for level, terms in losses.items():
        for term, loss in terms.items():
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            assert moved_groups(task, loss) == {level}, term


@pytest.mark.parametrize("regularizer", list(GUARDS))
@pytest.mark.parametrize(
    "loss", ["mse", "smooth_l1", "cs", "ce", "ce loss_params={centre_momentum: 0.9}", "vicreg", "barlow"]
)
def test_a_step_on_any_loss_moves_the_level_that_it_is_of(tiny_config: MakeConfig, loss: str, regularizer: str) -> None:
    name, *params = loss.split(" ", 1)
    task = make_task(make_config(tiny_config, "b3", ("time",), (regularizer, f"loss_fn={name}", *params)))
    for level in task.config.groups:
        before = {name: parameter.detach().clone() for name, parameter in task.named_parameters()}
        terms = losses_of(task)[level]
        assert all(term.isfinite() for term in terms.values())
        optimizer = torch.optim.SGD(task.parameters(), lr=0.01)
        optimizer.zero_grad()
        total(terms).backward()
        optimizer.step()
        own = {id(parameter) for parameter in task.parameter_groups()[level].all()}
        moved = {id(p) for n, p in task.named_parameters() if not torch.equal(p, before[n])}
        assert moved
        assert moved <= own


# ------------------------------------------------------------------------------------------ parameter groups


@settings
def test_the_groups_hold_every_parameter_once(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options))
    groups = task.parameter_groups()
    assert list(groups) == list(task.config.groups)
    owned = [id(parameter) for group in groups.values() for parameter in group.all()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(parameter) for parameter in task.parameters() if parameter.requires_grad}
    teacher = [] if task.teacher is None else list(task.teacher.parameters())
    assert {id(p) for p in task.parameters()} - set(owned) == {id(p) for p in teacher}
    for name, group in groups.items():
        expected = {id(p) for n, p in task.objectives[name].named_parameters() if n.startswith("predictors.")}
        assert {id(parameter) for parameter in group.predictors} == expected
        assert expected


@settings
def test_all_losses_together_reach_every_parameter(
    tiny_config: MakeConfig, hierarchy: str, causal: tuple[str, ...], options: tuple[str, ...]
) -> None:
    task = make_task(make_config(tiny_config, hierarchy, causal, options))
    torch.stack([total(terms) for terms in losses_of(task).values()]).sum().backward()
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_the_initial_weights_do_not_depend_on_the_objective(tiny_config: MakeConfig) -> None:
    config = tiny_config()
    torch.manual_seed(config.seed)
    expected = build_hierarchy(config).state_dict()
    for options in ((), (EMA,), ("loss_weights.space.side=0", NONE)):
        found = make_task(tiny_config(*options)).hierarchy.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in found.items())


# --------------------------------------------------------------------------------------------------- the step


def test_only_the_levels_that_are_asked_for_are_computed(tiny_config: MakeConfig) -> None:
    options = (SIGREG, *SAMPLED, "loss_fn=ce", "loss_params={centre_momentum: 0.5}")
    whole = losses_of(make_task(make_config(tiny_config, "b3", (), options)))
    task = make_task(make_config(tiny_config, "b3", (), options))
    called: list[str] = []
    for name, objective in task.objectives.items():
        objective.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    losses = losses_of(task, levels=frozenset({"backbone", "time"}))
    assert called == list(losses) == ["backbone", "time"]
    for level, terms in losses.items():  # and they draw what they draw together with the others
        for term, loss in terms.items():
            assert torch.equal(loss, whole[level][term])
    changed = {name.split(".")[1] for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"backbone", "time"}


def test_the_losses_are_a_function_of_the_steps_generator(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "b3", (), (SIGREG, *SAMPLED)))
    batch = make_batch(task)
    first, again, other = (task.losses(batch, StepContext(torch.Generator().manual_seed(seed))) for seed in (3, 3, 4))
    for level, terms in first.items():
        for term in set(terms) - {"sigreg"}:  # which keeps the vectors of earlier steps
            assert torch.equal(terms[term], again[level][term])
            assert (term in ("down", "side")) == (not torch.equal(terms[term], other[level][term]))


def test_weights_move_with_the_progress_of_the_step(tiny_config: MakeConfig) -> None:
    weights = ("loss_weights={space: {up: 0.2}}", "interpolate_loss_weights_to_uniformity=true")
    task = make_task(tiny_config(NONE, *weights))
    first, half = (losses_of(task, progress=progress)["space"]["up"] for progress in (0.0, 0.5))
    torch.testing.assert_close(half, 3 * first)


@pytest.mark.parametrize("regularizer", list(GUARDS))
@pytest.mark.parametrize("views", [(), (TWO_VIEWS,)])
def test_a_single_window_gives_finite_losses_and_gradients(
    tiny_config: MakeConfig, regularizer: str, views: tuple[str, ...]
) -> None:
    # The last level has one vector then; statistics need two, which the vectors of earlier steps are.
    task = make_task(tiny_config(regularizer, *views, *([ALIKE] if views and regularizer != NONE else [])))
    losses_of(task)
    losses = torch.stack([total(terms) for terms in losses_of(task, batch=1).values()]).sum()
    losses.backward()
    assert losses.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in task.parameters())


def test_the_encoder_knows_nothing_of_the_objective(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config()).eval()
    features = task.encoder(make_video())
    assert {level: tuple(units.shape) for level, units in features.items()} == {
        "space": (3, 6, 16),
        "time": (3, 3, 20),
        "clip": (3, 1, 24),
    }
    assert task.classifier is None
