"""Two views: no information passes from one to the other, and each level learns from those that it asks for."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from losses import mse
from tasks.hierarchical import HierarchicalTask
from tasks.looks import Look
from tasks.objective import Targets
from tasks.unit_targets import UnitTargets
from tests.architecture.test_information import influence, seen_frames, within_video
from tests.tasks.hierarchical_cases import (
    ALIKE,
    EMA,
    NONE,
    OPEN_SIDE,
    SIGREG,
    STEM,
    TWO_VIEWS,
    VICREG,
    VIEWS_BY_LEVEL,
    WITHIN,
    MakeConfig,
    losses_of,
    make_batch,
    make_config,
    make_step,
    make_task,
    moved_groups,
    objective_of,
    views_of,
)

LEVELS = ("backbone", "space", "time", "clip")


def encode(task: HierarchicalTask, pixels: Tensor) -> dict[Look, dict[str, Tensor]]:
    """The summaries of every look, from the pixels of all looks one after another: [looks * B, T, C, H, W]."""
    videos = dict(zip(task.looks, pixels.chunk(len(task.looks)), strict=True))
    units = task._ascent(task.hierarchy, videos).reach(task.config.groups[-1])
    return {look: units[look].summaries for look in task.looks}


def make_pixels(task: HierarchicalTask, batch: int = 2) -> Tensor:
    return torch.cat(make_batch(task, batch).videos)


# ------------------------------------------------------------------------------------------------ information


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("causal", [(), ("space", "time")])
@pytest.mark.parametrize("views", [TWO_VIEWS, VIEWS_BY_LEVEL])
def test_a_unit_depends_on_its_own_frames_in_its_own_view_and_on_nothing_else(
    tiny_config: MakeConfig, views: str, causal: tuple[str, ...], training: bool
) -> None:
    options = ("isolation=end2end", "interlevel_noise=0.1", "architecture_space.dropout=0.2")
    task = make_task(make_config(tiny_config, "b3", causal, (VICREG, views, ALIKE), *options)).train(training)
    pixels = make_pixels(task).requires_grad_()
    seen = seen_frames(LEVELS, causal)[0]
    for number, summaries in enumerate(encode(task, pixels).values()):
        own = slice(2 * number, 2 * number + 2)
        for level, units in summaries.items():
            depends = influence(units, pixels)
            assert torch.equal(depends[:, :, own], within_video(seen[level])), level
            depends[:, :, own] = False
            assert not depends.any(), level


@pytest.mark.parametrize(("batchnorm", "training"), [(False, True), (False, False), (True, False)])
@pytest.mark.parametrize("views", [TWO_VIEWS, VIEWS_BY_LEVEL])
def test_other_views_do_not_change_a_bit_of_a_unit(
    tiny_config: MakeConfig, views: str, batchnorm: bool, training: bool
) -> None:
    # Statistics over a batch can leak without a gradient: this sees it.
    options = (f"output_batchnorm={batchnorm}".lower(),)
    task = make_task(make_config(tiny_config, "b3", ("time",), (VICREG, views, ALIKE), *options))
    losses_of(task)
    task.train(training)
    pixels = make_pixels(task)
    before = encode(task, pixels)
    for number, look in enumerate(task.looks):
        changed = pixels.clone()
        changed[2 * number : 2 * number + 2] += 1
        for other, summaries in encode(task, changed).items():
            for level, units in summaries.items():
                assert torch.equal(units, before[other][level]) == (other != look), (look, other, level)


def test_a_leak_between_views_would_be_seen(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "3", (), (VICREG, TWO_VIEWS), "output_batchnorm=true"))
    pixels = make_pixels(task).requires_grad_()  # in training, a BatchNorm sees both views of a batch
    assert influence(next(iter(encode(task, pixels).values()))["space"], pixels)[:, :, 2:].any()


# ------------------------------------------------------------------------------------------- how far up


def test_a_look_is_encoded_as_far_up_as_a_level_needs_it(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "b3", (), (VICREG, VIEWS_BY_LEVEL, ALIKE))).eval()
    as_it_is, weak, weak_2, strong, strong_2 = task.looks
    windows: list[int] = []
    modules = [task.hierarchy.stem, *task.hierarchy.levels.values()]
    handles = [m.register_forward_hook(lambda _, given, __: windows.append(len(given[0]))) for m in modules]
    pixels = make_pixels(task)
    found = encode(task, pixels)
    assert windows == [10, 10, 8, 6]  # those that go as far are one batch
    for handle in handles:
        handle.remove()
    heights = {as_it_is: 2, weak_2: 3, weak: 4, strong: 4, strong_2: 4}
    assert {look: tuple(summaries) for look, summaries in found.items()} == {
        look: LEVELS[:height] for look, height in heights.items()
    }
    for look, video in zip(task.looks, pixels.chunk(5), strict=True):
        whole = task.hierarchy.encode(video).summaries
        for level, units in found[look].items():
            torch.testing.assert_close(units, whole[level])


def test_without_a_prediction_upwards_a_look_ends_at_its_own_level(tiny_config: MakeConfig) -> None:
    views = "views={backbone: [none], space: [weak], time: [weak], clip: [strong]}"
    no_up = "loss_weights={backbone: {up: 0}, time: {up: 0}}"
    task = make_task(make_config(tiny_config, "b3", (), (VICREG, views, no_up)))
    found = encode(task, make_pixels(task))
    assert [tuple(summaries) for summaries in found.values()] == [LEVELS[:1], LEVELS[:3], LEVELS]
    assert all(loss.isfinite() for terms in losses_of(task).values() for loss in terms.values())


# ---------------------------------------------------------------------------------------------------- targets


def same(one: Targets, other: Targets, field: str) -> bool:
    first, second = getattr(one, field), getattr(other, field)
    if first is None or second is None:
        return first is second
    # Standardising blows up what rounding does to summaries that hardly differ; targets of another view differ by 1.
    return torch.allclose(first, second, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("causal", [(), ("space", "time")])
@pytest.mark.parametrize("targets", ["targets=online", EMA])
@pytest.mark.parametrize("views", [TWO_VIEWS, VIEWS_BY_LEVEL])
def test_predictions_cross_views_and_those_of_patches_do_not(
    tiny_config: MakeConfig, views: str, targets: str, causal: tuple[str, ...]
) -> None:
    for across in (True, False):
        option = f"predict_across_views={across}".lower()
        task = make_task(make_config(tiny_config, "b3", causal, (VICREG, views, targets, STEM, option)))
        batch = make_batch(task)
        followed = task.hierarchy if task.teacher is None else task.teacher
        expected = {  # one by one, all the way up
            look: UnitTargets(task.config, followed.encode(video), video)
            for look, video in zip(task.looks, batch.videos, strict=True)
        }
        for level, found in views_of(task, batch).items():
            looks = task.looks_of_levels[level]
            assert len(found) == 2
            for number, view in enumerate(found):
                own, other = expected[looks[number]].of(level), expected[looks[1 - number]].of(level)
                for field in ("own_BUD", "below_BME", "above_BVF"):
                    of_patches = (level, field) in {("backbone", "own_BUD"), ("space", "below_BME")}
                    wanted, unwanted = (other, own) if across and not of_patches else (own, other)
                    assert same(view.targets, wanted, field), (level, number, field)
                    assert getattr(wanted, field) is None or not same(view.targets, unwanted, field)
                units = task.hierarchy.encode(batch.videos[task.looks.index(looks[number])]).summaries[level]
                torch.testing.assert_close(view.own_BUD, units, atol=1e-4, rtol=1e-4)


def test_the_levels_of_one_view_are_their_own_other_view(tiny_config: MakeConfig) -> None:
    first, second = (
        losses_of(make_task(make_config(tiny_config, "b3", ("time",), (VICREG, option))))
        for option in ("predict_across_views=true", "predict_across_views=false")
    )
    assert list(first) == list(LEVELS)
    for level, terms in first.items():
        assert all(torch.equal(loss, second[level][term]) for term, loss in terms.items())


def test_in_two_equal_views_it_does_not_matter_which_is_predicted(tiny_config: MakeConfig) -> None:
    # The window as it is, twice: the same look, and so the mean over the views is the one view's.
    twice = "views={backbone: [none, none], space: [none, none], time: [none, none], clip: [none, none]}"
    weights = "loss_weights={backbone: {side: 0}, space: {side: 0}, time: {side: 0}}"  # draws anew for each view
    one, both, within = (
        losses_of(make_task(make_config(tiny_config, "b3", (), (VICREG, weights, *options))))
        for options in ((), (twice,), (twice, WITHIN))
    )
    for level, terms in one.items():
        for term, loss in terms.items():
            torch.testing.assert_close(both[level][term], loss)
            torch.testing.assert_close(within[level][term], loss)


@pytest.mark.parametrize("views", [(), (TWO_VIEWS,)])
@pytest.mark.parametrize("isolation", ["strict", "overlap", "end2end"])
def test_side_may_have_gradient_in_both_ends(tiny_config: MakeConfig, views: tuple[str, ...], isolation: str) -> None:
    for option, reaches in ((OPEN_SIDE, True), ("detach_side_targets=true", False)):
        options = (NONE, STEM, *views, option, f"isolation={isolation}")
        task = make_task(make_config(tiny_config, "b3", ("time",), options))
        batch = make_batch(task)
        losses, seen = task.losses(batch, make_step()), views_of(task, batch)
        for place, level in enumerate(("backbone", "space", "time")):
            for view in seen[level]:
                assert view.targets.own_BUD.requires_grad == reaches
                others = (view.targets.below_BME, view.targets.above_BVF)
                assert not any(target.requires_grad for target in others if target is not None)
            first = {"strict": place, "overlap": max(0, place - 1), "end2end": 0}[isolation]
            assert moved_groups(task, losses[level]["side"]) == set(LEVELS[first : place + 1]), level


def test_the_gradient_of_side_is_that_of_both_ends(tiny_config: MakeConfig) -> None:
    task = make_task(make_config(tiny_config, "3", (), (NONE, TWO_VIEWS, OPEN_SIDE, "target_norm=none")))
    objective = objective_of(task, "space").eval()
    views = views_of(task, make_batch(task))["space"]
    pairs = [objective.predict(view, torch.Generator().manual_seed(5))["side"] for view in views]
    leaves = [view.own_BUD for view in views]
    found = torch.autograd.grad(mse(*pairs[0]), leaves, retain_graph=True)
    one_end = torch.autograd.grad(mse(pairs[0][0], pairs[0][1].detach()), leaves, retain_graph=True, allow_unused=True)
    other_end = torch.autograd.grad(mse(pairs[0][0].detach(), pairs[0][1]), leaves, allow_unused=True)
    assert one_end[1] is None  # the first view predicts
    assert other_end[0] is None  # the second
    torch.testing.assert_close(found, (one_end[0], other_end[1]))
    assert all(gradient.abs().max() > 1e-4 for gradient in found)


# ------------------------------------------------------------------------------------------------- invariance


@pytest.mark.parametrize("views", [TWO_VIEWS, VIEWS_BY_LEVEL])
def test_a_unit_meets_itself_in_the_other_view_of_its_level(tiny_config: MakeConfig, views: str) -> None:
    weights = "loss_weights={backbone: {invariance: 2}, space: {invariance: 3}, time: {invariance: 5}}"
    task = make_task(make_config(tiny_config, "b3", ("time",), (SIGREG, views, weights)))
    batch = make_batch(task)
    projectors = {level: copy.deepcopy(objective_of(task, level).guard.projector.layers).double() for level in LEVELS}
    found = encode(task, torch.cat(batch.videos))
    losses = task.losses(batch, make_step())
    for level, weight in {"backbone": 2, "space": 3, "time": 5}.items():
        units = [found[look][level].flatten(0, 1).double() for look in task.looks_of_levels[level]]
        first, second = (projectors[level](each) for each in units)  # of the same window, at the same time and place
        expected = weight * ((first - second) ** 2).mean()
        torch.testing.assert_close(losses[level]["invariance"].double(), expected, rtol=1e-4, atol=1e-6)
        shifted = weight * ((first - second.roll(1, dims=0)) ** 2).mean()
        assert (shifted - expected).abs() > 1e-3 * expected
    assert "invariance" not in losses["clip"]


def test_training_brings_the_views_of_a_unit_together_and_not_the_units(tiny_config: MakeConfig) -> None:
    weights = "loss_weights={space: {up: 0, down: 0, side: 0, invariance: 1}}"
    task = make_task(make_config(tiny_config, "3", (), (VICREG, TWO_VIEWS, weights)))
    batch = make_batch(task, batch=8)
    noise = torch.randn(batch.videos[0].shape, generator=torch.Generator().manual_seed(9))
    batch.videos[1].copy_(batch.videos[0] + noise)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.003)
    own, others = [], []
    for _ in range(60):
        views = views_of(task, batch)["space"]
        first, second = (objective_of(task, "space").guard.projector(view.own_BUD.flatten(0, 1)) for view in views)
        own.append(float(mse(first, second).detach()))
        others.append(float(mse(first, second.roll(1, dims=0)).detach()))
        optimizer.zero_grad()
        terms = task.losses(batch, make_step(levels=frozenset({"space"})))["space"]
        assert set(terms) == {"invariance", "variance", "covariance"}
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    assert own[-1] / others[-1] < 0.1 * own[0] / others[0]
    assert others[-1] > 2 * others[0]
