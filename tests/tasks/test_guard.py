from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from losses import covariance_term, sigreg, variance_term, visreg
from tasks.guard import CollapseGuard, RecentVectors
from tasks.regularizers import SIGReg, VICReg, VISReg

Regularizer = VICReg | SIGReg | VISReg
VICREG = VICReg(name="vicreg", variance=2.0, covariance=3.0, proj_dim=18, min_vectors=4)
SIGREG = SIGReg(name="sigreg", weight=2.0, num_slices=256, proj_dim=18, min_vectors=4)
VISREG = VISReg(name="visreg", scale=2.0, shape=3.0, centre=4.0, num_slices=256, proj_dim=18, min_vectors=4)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def expected_terms(
    regularizer: Regularizer, projected: Tensor, drawn: torch.Generator | None = None
) -> dict[str, Tensor]:
    drawn = drawn or generator()
    match regularizer:
        case VICReg():
            return {"variance": 2 * variance_term(projected), "covariance": 3 * covariance_term(projected)}
        case SIGReg():
            return {"sigreg": 2 * sigreg(projected, 256, drawn)}
        case VISReg():
            terms = visreg(projected, 256, drawn)
            return {"scale": 2 * terms["scale"], "shape": 3 * terms["shape"], "centre": 4 * terms["centre"]}


@pytest.mark.parametrize("regularizer", [VICREG, SIGREG, VISREG])
def test_the_terms_are_those_of_the_regularizer_on_the_projected_units(regularizer: Regularizer) -> None:
    torch.manual_seed(0)
    guard = CollapseGuard(regularizer, 16, 0.1)
    units = rand(12, 16)
    expected = expected_terms(regularizer, guard.projector(units))
    terms = guard([units], 0.0, generator())
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])


@pytest.mark.parametrize("regularizer", [VICREG, SIGREG, VISREG])
def test_the_first_vector_of_all_has_finite_terms_and_gradients(regularizer: Regularizer) -> None:
    guard = CollapseGuard(regularizer, 16, 0.1)
    terms = guard([rand(1, 16).requires_grad_()], 0.0, generator())
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in guard.parameters())


# -------------------------------------------------------------------------------------------------- two views


@pytest.mark.parametrize("stored", [0, 5])
@pytest.mark.parametrize("regularizer", [VICREG, SIGREG, VISREG])
def test_the_invariance_is_the_mean_squared_distance_of_the_projected_views(
    regularizer: Regularizer, stored: int
) -> None:
    torch.manual_seed(0)
    guard = CollapseGuard(regularizer.model_copy(update={"min_vectors": 40}), 16, 0.1)
    older = rand(stored, 16, seed=3)
    if stored:
        guard.recent.fill_up([older])
    projector = copy.deepcopy(guard.projector).double()
    views = [rand(12, 16, seed=seed).requires_grad_() for seed in (1, 2)]
    # Each view has statistics of its own, with the vectors of earlier steps in them; only units have a counterpart.
    first, second = (projector_by_hand(projector, torch.cat([view, older]).double()) for view in views)
    expected = 2.5 * ((first - second)[:12] ** 2).mean()
    terms = guard(views, 2.5, generator())
    torch.testing.assert_close(terms["invariance"].double(), expected, rtol=1e-4, atol=1e-6)
    gradients = torch.autograd.grad(terms["invariance"], views, retain_graph=True)
    for gradient, by_hand in zip(gradients, torch.autograd.grad(expected, views), strict=True):
        assert gradient.abs().max() > 1e-4
        torch.testing.assert_close(gradient, by_hand.float(), rtol=1e-3, atol=1e-6)


def projector_by_hand(projector: nn.Module, vectors: Tensor) -> Tensor:
    """The projector in training, without its modules."""
    weights = projector.state_dict()
    hidden = vectors @ weights["layers.0.weight"].T
    hidden = (hidden - hidden.mean(dim=0)) / (hidden.var(dim=0, correction=0) + 1e-5).sqrt()
    hidden = (hidden * weights["layers.1.weight"] + weights["layers.1.bias"]).clamp(min=0)
    projected: Tensor = hidden @ weights["layers.3.weight"].T + weights["layers.3.bias"]
    return projected


@pytest.mark.parametrize("regularizer", [VICREG, SIGREG, VISREG])
def test_with_two_views_every_term_is_the_mean_over_the_views(regularizer: Regularizer) -> None:
    torch.manual_seed(0)
    guard = CollapseGuard(regularizer, 16, 0.1)
    views, drawn = [rand(12, 16, seed=1), rand(12, 16, seed=2)], generator()
    first, second = (expected_terms(regularizer, guard.projector(view), drawn) for view in views)
    terms = guard(views, 0.5, generator())
    assert set(terms) == {*first, "invariance"}
    for name in first:
        torch.testing.assert_close(terms[name], (first[name] + second[name]) / 2)


def test_equal_views_are_at_no_distance_and_without_a_weight_there_is_no_term() -> None:
    guard, view = CollapseGuard(VICREG, 16, 0.1), rand(12, 16)
    assert guard([view, view.clone()], 1.0, generator())["invariance"] == 0
    assert "invariance" not in guard([view, rand(12, 16, seed=1)], 0.0, generator())
    assert "invariance" not in guard([view], 1.0, generator())


def test_the_first_unit_of_all_has_finite_terms_and_gradients_in_two_views() -> None:
    guard = CollapseGuard(VICREG, 16, 0.1)
    terms = guard([rand(1, 16, seed=seed).requires_grad_() for seed in (1, 2)], 1.0, generator())
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in guard.parameters())


# ------------------------------------------------------------------------------------------------ RecentVectors


def test_each_view_is_filled_up_with_the_latest_vectors_of_both() -> None:
    recent = RecentVectors(size=7, dim=2)
    a, b, c, d = (rand(2, 2, seed=seed).requires_grad_() for seed in range(4))
    first, second = recent.fill_up([a, b])
    assert torch.equal(first, a)  # the other view of a unit is no other vector
    assert torch.equal(second, b)
    first, second = recent.fill_up([c, d])
    assert torch.equal(first, torch.cat([c, a, b]))
    assert torch.equal(second, torch.cat([d, a, b]))
    (second.square().sum() + first.sum()).backward()
    assert a.grad is None
    assert b.grad is None
    third, fourth = recent.fill_up([b.detach(), a.detach()])
    assert torch.equal(third, torch.cat([b, c, d, a])[:7])
    assert torch.equal(fourth, torch.cat([a, c, d, a])[:7])


def test_views_that_together_are_more_than_what_is_stored() -> None:
    recent = RecentVectors(size=3, dim=2)
    a, b, c = (rand(2, 2, seed=seed) for seed in range(3))
    recent.fill_up([a, b])
    assert torch.equal(recent.store_SD, torch.cat([a, b])[:3])
    assert torch.equal(recent.fill_up([c])[0], torch.cat([c, a])[:3])
    wide = rand(3, 2, seed=4)
    assert torch.equal(recent.fill_up([wide, wide + 1])[1], wide + 1)


def test_one_view_that_is_not_finite_spoils_no_step_that_follows() -> None:
    recent = RecentVectors(size=7, dim=2)
    good, bad = rand(2, 2), torch.full((2, 2), torch.nan)
    recent.fill_up([good, good + 1])
    assert recent.fill_up([good, bad])[1].isnan().any()
    assert torch.equal(recent.fill_up([good])[0], torch.cat([good, good, good + 1]))


def test_a_small_batch_is_filled_up_with_the_latest_vectors() -> None:
    recent = RecentVectors(size=7, dim=2)
    batches = [rand(3, 2, seed=seed).requires_grad_() for seed in range(5)]
    assert torch.equal(recent.fill_up([batches[0]])[0], batches[0])
    assert torch.equal(recent.fill_up([batches[1]])[0], torch.cat([batches[1], batches[0]]))
    assert torch.equal(recent.fill_up([batches[2]])[0], torch.cat([batches[2], batches[1], batches[0]])[:7])
    assert torch.equal(recent.fill_up([batches[3]])[0], torch.cat([batches[3], batches[2], batches[1]])[:7])


def test_only_the_batch_itself_has_gradient() -> None:
    recent = RecentVectors(size=7, dim=2)
    old, new = rand(3, 2).requires_grad_(), rand(3, 2, seed=1).requires_grad_()
    recent.fill_up([old])
    recent.fill_up([new])[0].square().sum().backward()
    assert old.grad is None
    assert new.grad is not None
    assert torch.equal(new.grad, 2 * new)
    assert not recent.store_SD.requires_grad


def test_a_large_batch_passes_through_and_is_not_stored() -> None:
    recent = RecentVectors(size=4, dim=2)
    for size in (4, 9):
        vectors = rand(size, 2)
        assert torch.equal(recent.fill_up([vectors])[0], vectors)
    assert recent.stored == 0


def test_what_is_not_finite_is_not_stored() -> None:
    recent = RecentVectors(size=7, dim=2)
    good, bad, next_one = rand(3, 2), rand(4, 2, seed=1), rand(2, 2, seed=2)
    bad[1, 0] = torch.nan
    recent.fill_up([good])
    assert recent.fill_up([bad])[0].isnan().any()  # the step itself has to see it
    assert torch.equal(recent.fill_up([next_one])[0], torch.cat([next_one, good]))


def test_evaluation_stores_nothing() -> None:
    recent = RecentVectors(size=7, dim=2)
    first, second = rand(3, 2), rand(3, 2, seed=1)
    recent.fill_up([first])
    recent.eval()
    state = {name: value.clone() for name, value in recent.state_dict().items()}
    assert torch.equal(recent.fill_up([second])[0], torch.cat([second, first]))
    assert all(torch.equal(value, state[name]) for name, value in recent.state_dict().items())


def test_what_is_stored_is_part_of_a_checkpoint() -> None:
    recent, restored = RecentVectors(size=7, dim=2), RecentVectors(size=7, dim=2)
    recent.fill_up([rand(3, 2)])
    recent.fill_up([rand(3, 2, seed=1)])
    restored.load_state_dict(recent.state_dict())
    vectors = rand(2, 2, seed=2)
    assert torch.equal(restored.fill_up([vectors])[0], recent.fill_up([vectors])[0])
    assert restored.fill_up([vectors])[0].shape == (7, 2)


def test_vectors_of_any_precision_are_stored_in_float32() -> None:
    recent = RecentVectors(size=7, dim=2)
    assert recent.fill_up([rand(3, 2).bfloat16()])[0].dtype == torch.float32
    assert isinstance(recent, nn.Module)
    assert recent.store_SD.dtype == torch.float32
