"""The loss of a level changes the parameters of that level alone: exact, for every level, term and setting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from config.schema import Config
from tasks.hierarchical import HierarchicalTask
from tasks.task import Losses

MakeConfig = Callable[..., Config]

VICREG = "regularizer={name: vicreg, variance: 1, covariance: 1, proj_dim: 18, min_vectors: 32}"
SIGREG = "regularizer={name: sigreg, weight: 1, num_slices: 256, proj_dim: 18, min_vectors: 32}"
TWO = ("groups=[space,time]", "frames_per_clip=6")
THREE = ("groups=[space,time,clip]", "frames_per_clip=2")
GUARDS = {VICREG: {"variance", "covariance"}, SIGREG: {"sigreg"}}
TERMS: dict[tuple[str, ...], dict[str, set[str]]] = {
    TWO: {"space": {"up", "down", "side"}, "time": {"down"}},
    THREE: {"space": {"up", "down", "side"}, "time": {"up", "down", "side"}, "clip": {"down"}},
}

settings = pytest.mark.parametrize(
    ("groups", "regularizer", "down_target"),
    [
        pytest.param(groups, guard, target, id=f"{len(TERMS[groups])} levels-{guard[18:24]}-{target}")
        for groups in (TWO, THREE)
        for guard in (VICREG, SIGREG)
        for target in ("pixels", "stem")
    ],
)


def make_task(config: Config) -> HierarchicalTask:
    torch.manual_seed(config.seed)
    return HierarchicalTask(config).train()


def make_video(batch: int = 3) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def losses_of(task: HierarchicalTask, batch: int = 3) -> Losses:
    frames_BT = torch.arange(6).expand(batch, 6)
    return task.losses(make_video(batch), torch.arange(batch), frames_BT, torch.Generator().manual_seed(2))


def moved_groups(task: HierarchicalTask, loss: Tensor) -> set[str]:
    """The parameter groups in which any gradient of `loss` is not exactly zero."""
    moved = set()
    for name, parameters in task.parameter_groups().items():
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradients)
        if any(g is not None and bool(g.any()) for g in gradients):
            moved.add(name)
    return moved


@settings
def test_strict_every_term_moves_its_own_level_and_no_other(
    tiny_config: MakeConfig, groups: tuple[str, ...], regularizer: str, down_target: str
) -> None:
    task = make_task(tiny_config(*groups, regularizer, f"down_target={down_target}", "isolation=strict"))
    losses = losses_of(task)
    assert {level: set(terms) for level, terms in losses.items()} == {
        level: terms | GUARDS[regularizer] for level, terms in TERMS[groups].items()
    }
    for level, terms in losses.items():
        assert moved_groups(task, torch.stack(list(terms.values())).sum()) == {level}
        for term, loss in terms.items():
            assert moved_groups(task, loss) == {level}, term


@settings
def test_end2end_every_term_moves_all_levels_below_and_none_above(
    tiny_config: MakeConfig, groups: tuple[str, ...], regularizer: str, down_target: str
) -> None:
    task = make_task(tiny_config(*groups, regularizer, f"down_target={down_target}", "isolation=end2end"))
    levels = list(TERMS[groups])
    for number, (_, terms) in enumerate(losses_of(task).items()):
        for term, loss in terms.items():
            assert moved_groups(task, loss) == set(levels[: number + 1]), term


@settings
def test_the_losses_are_the_same_however_gradient_may_cross(
    tiny_config: MakeConfig, groups: tuple[str, ...], regularizer: str, down_target: str
) -> None:
    strict, joined = (
        losses_of(make_task(tiny_config(*groups, regularizer, f"down_target={down_target}", f"isolation={isolation}")))
        for isolation in ("strict", "end2end")
    )
    for level, terms in strict.items():
        for term, loss in terms.items():
            assert torch.equal(loss, joined[level][term])


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_isolation_holds_under_autocast_and_with_dropout(tiny_config: MakeConfig, dropout: float) -> None:
    task = make_task(tiny_config(*(f"architecture_{level}.dropout={dropout}" for level in ("space", "time", "clip"))))
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(task)
    for level, terms in losses.items():
        for term, loss in terms.items():
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            assert moved_groups(task, loss) == {level}, term


@settings
def test_the_groups_hold_every_parameter_once(
    tiny_config: MakeConfig, groups: tuple[str, ...], regularizer: str, down_target: str
) -> None:
    task = make_task(tiny_config(*groups, regularizer, f"down_target={down_target}"))
    by_group = task.parameter_groups()
    assert list(by_group) == list(TERMS[groups])
    owned = [id(parameter) for parameters in by_group.values() for parameter in parameters]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(parameter) for parameter in task.parameters()}
    assert all(parameter.requires_grad for parameter in task.parameters())


def test_all_losses_together_reach_every_parameter(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config())
    torch.stack([loss for terms in losses_of(task).values() for loss in terms.values()]).sum().backward()
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_the_lowest_down_target_is_the_pixels_or_the_token_of_the_same_patch(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for down_target, width in (("pixels", 3 * 8 * 8), ("stem", 16)):
        task = make_task(tiny_config(f"down_target={down_target}"))
        seen: list[Tensor] = []

        def note(children: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(children)
            return children.detach()

        monkeypatch.setattr(task.objectives["space"], "child_target", note)
        losses_of(task)
        (children,) = seen
        assert children.shape == (3, 6, 6, width)
        if down_target == "stem":
            assert torch.equal(children, task.hierarchy.stem(make_video()))
        else:
            patch = make_video()[1, 4, :, 8:16, 16:24]  # row 1, column 2 of 2 x 3 patches
            assert torch.equal(children[1, 4, 5], patch.permute(1, 2, 0).flatten())


def test_a_single_window_gives_finite_losses_and_gradients(tiny_config: MakeConfig) -> None:
    # The last level has one vector then; statistics need two, which the vectors of earlier steps are.
    for regularizer in (VICREG, SIGREG, "regularizer={name: none}"):
        task = make_task(tiny_config(regularizer, "loss_weights={space: {up: 1}, time: {up: 1}, clip: {down: 1}}"))
        losses_of(task)
        losses = losses_of(task, batch=1)
        total = torch.stack([loss for terms in losses.values() for loss in terms.values()]).sum()
        total.backward()
        assert total.isfinite()
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
