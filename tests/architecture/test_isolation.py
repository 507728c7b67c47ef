"""How far the gradient of a level's loss goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from architecture.hierarchy import HierarchicalTransformer, Units
from config.schema import HIERARCHIES

MakeHierarchy = Callable[..., HierarchicalTransformer]
MakeVideo = Callable[..., Tensor]

ALL = ("space", "time", "clip")


def moved(hierarchy: HierarchicalTransformer, units_BUD: Tensor) -> dict[str, list[bool]]:
    """By level, for each of its parameters, whether a loss on these units gives it a gradient other than 0."""
    hierarchy.zero_grad()
    weights_BUD = torch.randn(units_BUD.shape, generator=torch.Generator().manual_seed(2))
    (units_BUD * weights_BUD).sum().backward(retain_graph=True)
    return {
        name: [p.grad is not None and bool(p.grad.any()) for p in parameters]
        for name, parameters in hierarchy.level_parameters().items()
    }


@pytest.mark.parametrize("groups", HIERARCHIES)
@pytest.mark.parametrize("isolation", ["strict", "overlap", "end2end"])
@pytest.mark.parametrize(
    ("causal", "stem", "batchnorm", "dropout"),
    [((), "linear", False, 0.2), (ALL, "linear", True, 0.0), (("time",), "cnn", False, 0.0), (ALL, "cnn", True, 0.2)],
)
def test_a_loss_moves_exactly_the_levels_that_the_isolation_lets_it_reach(
    make_hierarchy: MakeHierarchy,
    make_video: MakeVideo,
    groups: tuple[str, ...],
    isolation: str,
    causal: tuple[str, ...],
    stem: str,
    batchnorm: bool,
    dropout: float,
) -> None:
    hierarchy = make_hierarchy(
        groups, causal=causal, stem=stem, isolation=isolation, batchnorm=batchnorm, dropout=dropout, noise=0.1
    )
    units = hierarchy.encode(make_video(groups), tokens=True)
    reach = {"strict": 1, "overlap": 2, "end2end": len(groups)}[isolation]
    for number, name in enumerate(groups):
        expected = set(groups[max(0, number + 1 - reach) : number + 1])
        for vectors in (units.summaries[name], units.tokens[name]):
            found = moved(hierarchy, vectors)
            assert {level for level, parameters in found.items() if any(parameters)} == expected
            if name not in causal and vectors is units.tokens[name]:
                continue  # its BatchNorm is for the summary alone
            for level in expected:  # the whole of it: the stem and a BatchNorm too
                assert all(found[level]), level


def test_the_patches_move_the_stem_alone(make_hierarchy: MakeHierarchy, make_video: MakeVideo) -> None:
    for groups in (("space", "time"), ("backbone", "space", "time")):
        hierarchy = make_hierarchy(groups)
        moved(hierarchy, hierarchy.encode(make_video(groups)).patches_BTPD)
        for name, parameter in hierarchy.named_parameters():
            assert (parameter.grad is not None) == name.startswith("stem.")


@pytest.mark.parametrize("isolation", ["strict", "overlap", "end2end"])
def test_the_stem_trains_with_space_unless_patches_are_units(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, isolation: str
) -> None:
    for groups, together in ((("space", "time"), True), (("backbone", "space", "time"), isolation != "strict")):
        hierarchy = make_hierarchy(groups, isolation=isolation)
        moved(hierarchy, hierarchy(make_video(groups))["space"])
        assert all((p.grad is not None) == together for p in hierarchy.stem.parameters())


def all_of(units: Units) -> list[Tensor]:
    return [units.patches_BTPD, *units.summaries.values(), *units.tokens.values()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", HIERARCHIES)
def test_isolation_changes_no_value(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo, groups: tuple[str, ...], training: bool
) -> None:
    found = []
    for isolation in ("strict", "overlap", "end2end"):
        hierarchy = make_hierarchy(groups, causal=("time",), isolation=isolation, batchnorm=True).train(training)
        found.append(all_of(hierarchy.encode(make_video(groups), tokens=True)))
    for strict, overlap, joined in zip(*found, strict=True):
        torch.testing.assert_close(overlap, strict, atol=1e-6, rtol=1e-5)
        assert torch.equal(joined, strict)


def test_the_second_computation_of_a_level_does_not_count_in_running_statistics(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    states = []
    for isolation in ("strict", "overlap"):
        hierarchy = make_hierarchy(
            ("backbone", "space", "time", "clip"), stem="cnn", isolation=isolation, batchnorm=True
        ).train()
        hierarchy(make_video())
        hierarchy(make_video(seed=2))
        states.append(hierarchy.state_dict())
    strict, overlap = states
    counts = [value for name, value in overlap.items() if name.endswith("num_batches_tracked")]
    assert counts == [2] * 7  # three of the stem, four of summaries
    for name in strict:
        torch.testing.assert_close(overlap[name], strict[name], msg=name)


class Counting(nn.Module):
    """How often a level is computed."""

    def __init__(self, level: nn.Module) -> None:
        super().__init__()
        self.level, self.calls = level, 0

    def forward(self, tokens_BGND: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        found: tuple[Tensor, Tensor] = self.level(tokens_BGND)
        return found


def test_overlap_computes_a_level_twice_only_for_its_gradient(
    make_hierarchy: MakeHierarchy, make_video: MakeVideo
) -> None:
    for groups, expected in ((ALL, [1, 2, 1]), (("backbone", *ALL), [2, 2, 1])):
        hierarchy = make_hierarchy(groups, isolation="overlap")
        counters = [Counting(level) for level in hierarchy.levels.values()]
        for name, counter in zip(ALL, counters, strict=True):
            hierarchy.levels[name] = counter
        hierarchy(make_video())
        assert [counter.calls for counter in counters] == expected
        with torch.no_grad():
            hierarchy(make_video())
        assert [counter.calls for counter in counters] == [calls + 1 for calls in expected]


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("groups", HIERARCHIES)
def test_every_parameter_belongs_to_one_level(
    make_hierarchy: MakeHierarchy, groups: tuple[str, ...], batchnorm: bool
) -> None:
    hierarchy = make_hierarchy(groups, stem="cnn", batchnorm=batchnorm)
    parameters = hierarchy.level_parameters()
    assert list(parameters) == list(groups)
    owned = [id(p) for of_level in parameters.values() for p in of_level]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in hierarchy.parameters()}
    assert {id(p) for p in hierarchy.stem.parameters()} <= {id(p) for p in parameters[groups[0]]}
