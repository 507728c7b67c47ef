from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from config.schema import Config
from losses import covariance_term, mse, patch_target, sigreg, summary_target, variance_term
from tasks.objective import LevelObjective, RecentVectors

MakeConfig = Callable[..., Config]


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_objective(config: Config, level: Any, **changes: Any) -> LevelObjective:
    torch.manual_seed(0)
    shapes: dict[str, Any] = {
        "space": {"units": 6, "children": 4, "child_dim": 11, "parent_dim": 20},
        "time": {"units": 3, "children": 2, "child_dim": 16, "parent_dim": 24},
        "clip": {"units": 1, "children": 3, "child_dim": 20, "parent_dim": None},
    }
    return LevelObjective(config, level, **(shapes[level] | changes)).train()


def run(objective: LevelObjective, own: Tensor, children: Tensor, parents: Tensor | None) -> dict[str, Tensor]:
    terms: dict[str, Tensor] = objective(own, children, parents, torch.Generator().manual_seed(4))
    return terms


def space_inputs() -> tuple[Tensor, Tensor, Tensor]:
    return rand(2, 6, 16), rand(2, 6, 4, 11, seed=1), rand(2, 3, 20, seed=2)


def test_up_predicts_the_unit_that_this_one_is_part_of(tiny_config: MakeConfig) -> None:
    objective = make_objective(tiny_config("loss_weights.space={up: 2, down: 0, side: 0}"), "space")
    own, children, parents = space_inputs()
    predictor = objective.predictors["up"]
    targets = summary_target(torch.stack([parents[:, frame // 2] for frame in range(6)], dim=1))
    expected = torch.stack(
        [mse(predictor(own[:, frame], torch.tensor([0])), targets[:, frame]) for frame in range(6)]
    ).mean()
    torch.testing.assert_close(run(objective, own, children, parents)["up"], 2 * expected)


@pytest.mark.parametrize(("level", "make_target"), [("space", patch_target), ("time", summary_target)])
def test_down_predicts_the_unit_at_the_place_that_is_asked_for(
    tiny_config: MakeConfig, level: str, make_target: Callable[[Tensor], Tensor]
) -> None:
    config = tiny_config(f"loss_weights.{level}={{up: 0, down: 3, side: 0}}")
    objective = make_objective(config, level, units=3, children=4, child_dim=11)
    own, children = rand(2, 3, config.level(level).dim), rand(2, 3, 4, 11, seed=1)
    predictor, targets = objective.predictors["down"], make_target(children)
    expected = torch.stack(
        [
            mse(predictor(own[:, unit], torch.tensor([place])), targets[:, unit, place])
            for unit in range(3)
            for place in range(4)
        ]
    ).mean()
    torch.testing.assert_close(run(objective, own, children, None)["down"], 3 * expected)


def test_side_predicts_every_other_unit_by_its_signed_distance(tiny_config: MakeConfig) -> None:
    objective = make_objective(tiny_config("loss_weights.time={up: 0, down: 0, side: 1}"), "time")
    own = rand(2, 3, 20)
    predictor, targets = objective.predictors["side"], summary_target(own)
    losses, distances = [], set()
    for source in range(3):
        for target in range(3):
            if source != target:
                distance = target - source
                distances.add(distance)
                prediction = predictor(own[:, source], torch.tensor([distance + 2]))
                losses.append(mse(prediction, targets[:, target]))
    assert distances == {-2, -1, 1, 2}
    terms = run(objective, own, rand(2, 3, 2, 16), rand(2, 1, 24))
    torch.testing.assert_close(terms["side"], torch.stack(losses).mean())


def test_down_and_side_targets_know_their_place(tiny_config: MakeConfig) -> None:
    # The same predictions, asked for other places, are wrong: with a predictor that has learned one batch by heart.
    objective = make_objective(tiny_config("loss_weights.space={up: 0, down: 1, side: 1}"), "space")
    own, children, parents = space_inputs()
    optimizer = torch.optim.Adam(objective.predictors.parameters(), lr=0.02)
    for _ in range(150):
        terms = run(objective, own, children, parents)
        optimizer.zero_grad()
        (terms["down"] + terms["side"]).backward()
        optimizer.step()
    moved = run(objective, own, children.roll(1, dims=2), parents)["down"]
    assert moved > terms["down"] + 0.1
    backwards = run(objective, own.flip(1), children.flip(1), parents)
    torch.testing.assert_close(backwards["down"], run(objective, own, children, parents)["down"])
    assert backwards["side"] > terms["side"] + 0.1


@pytest.mark.parametrize(
    ("level", "weights", "terms"),
    [
        ("space", "{up: 0, down: 0, side: 0}", set()),
        ("space", "{up: 0.5, down: 0, side: 0}", {"up"}),
        ("space", "{up: 0, down: 0, side: 0.5}", {"side"}),
        ("clip", "{up: 1, down: 1, side: 1}", {"down"}),  # nothing above, and nothing beside
    ],
)
def test_only_what_has_a_weight_and_a_neighbour_is_predicted(
    tiny_config: MakeConfig, level: str, weights: str, terms: set[str]
) -> None:
    config = tiny_config(f"loss_weights.{level}={weights}", "regularizer={name: none}")
    objective = make_objective(config, level)
    assert set(objective.predictors) == terms
    own, children, parents = space_inputs()
    if level == "clip":
        found = run(objective, rand(2, 1, 24), rand(2, 1, 3, 20), None)
    else:
        found = run(objective, own, children, parents)
    assert set(found) == terms


def test_a_level_without_weights_predicts_nothing(tiny_config: MakeConfig) -> None:
    config = tiny_config("regularizer={name: none}")
    config = config.model_copy(update={"loss_weights": {"space": config.loss_weights["space"]}})
    assert len(make_objective(config, "time").predictors) == 0


def test_the_guard_is_the_regularizer_on_the_projected_summaries(tiny_config: MakeConfig) -> None:
    own, children, parents = rand(2, 6, 16), rand(2, 6, 4, 11), rand(2, 3, 20)
    config = tiny_config("regularizer={name: vicreg, variance: 2, covariance: 3, proj_dim: 18, min_vectors: 4}")
    objective = make_objective(config, "space")
    projected = objective.projector(own.flatten(0, 1))
    terms = run(objective, own, children, parents)
    torch.testing.assert_close(terms["variance"], 2 * variance_term(projected))
    torch.testing.assert_close(terms["covariance"], 3 * covariance_term(projected))

    config = tiny_config("regularizer={name: sigreg, weight: 2, num_slices: 256, proj_dim: 18, min_vectors: 4}")
    objective = make_objective(config, "space")
    projected = objective.projector(own.flatten(0, 1))
    terms = run(objective, own, children, parents)
    torch.testing.assert_close(terms["sigreg"], 2 * sigreg(projected, 256, torch.Generator().manual_seed(4)))


def test_no_guard_has_no_parameters(tiny_config: MakeConfig) -> None:
    objective = make_objective(tiny_config("regularizer={name: none}"), "space")
    assert [name for name, _ in objective.named_children()] == ["predictors"]
    assert list(objective.buffers()) == []


# ------------------------------------------------------------------------------------------------ RecentVectors


def test_a_small_batch_is_filled_up_with_the_latest_vectors() -> None:
    recent = RecentVectors(size=7, dim=2)
    batches = [rand(3, 2, seed=seed).requires_grad_() for seed in range(5)]
    assert torch.equal(recent.fill_up(batches[0]), batches[0])
    assert torch.equal(recent.fill_up(batches[1]), torch.cat([batches[1], batches[0]]))
    assert torch.equal(recent.fill_up(batches[2]), torch.cat([batches[2], batches[1], batches[0]])[:7])
    assert torch.equal(recent.fill_up(batches[3]), torch.cat([batches[3], batches[2], batches[1]])[:7])


def test_only_the_batch_itself_has_gradient() -> None:
    recent = RecentVectors(size=7, dim=2)
    old, new = rand(3, 2).requires_grad_(), rand(3, 2, seed=1).requires_grad_()
    recent.fill_up(old)
    recent.fill_up(new).square().sum().backward()
    assert old.grad is None
    assert new.grad is not None
    assert torch.equal(new.grad, 2 * new)
    assert not recent.store_SD.requires_grad


def test_a_large_batch_passes_through_and_is_not_stored() -> None:
    recent = RecentVectors(size=4, dim=2)
    for size in (4, 9):
        vectors = rand(size, 2)
        assert torch.equal(recent.fill_up(vectors), vectors)
    assert recent.stored == 0


def test_evaluation_stores_nothing() -> None:
    recent = RecentVectors(size=7, dim=2)
    first, second = rand(3, 2), rand(3, 2, seed=1)
    recent.fill_up(first)
    recent.eval()
    state = {name: value.clone() for name, value in recent.state_dict().items()}
    assert torch.equal(recent.fill_up(second), torch.cat([second, first]))
    assert all(torch.equal(value, state[name]) for name, value in recent.state_dict().items())


def test_what_is_stored_is_part_of_a_checkpoint() -> None:
    recent, restored = RecentVectors(size=7, dim=2), RecentVectors(size=7, dim=2)
    recent.fill_up(rand(3, 2))
    recent.fill_up(rand(3, 2, seed=1))
    restored.load_state_dict(recent.state_dict())
    vectors = rand(2, 2, seed=2)
    assert torch.equal(restored.fill_up(vectors), recent.fill_up(vectors))
    assert restored.fill_up(vectors).shape == (7, 2)


def test_vectors_of_any_precision_are_stored_in_float32() -> None:
    recent = RecentVectors(size=7, dim=2)
    assert recent.fill_up(rand(3, 2).bfloat16()).dtype == torch.float32
    assert isinstance(recent, nn.Module)
    assert recent.store_SD.dtype == torch.float32
