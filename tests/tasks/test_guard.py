from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from config.losses import SIGReg, VICReg, VISReg
from losses import covariance_term, sigreg, variance_term, visreg
from tasks.guard import CollapseGuard, RecentVectors

Regularizer = VICReg | SIGReg | VISReg
VICREG = VICReg(name="vicreg", variance=2.0, covariance=3.0, proj_dim=18, min_vectors=4)
SIGREG = SIGReg(name="sigreg", weight=2.0, num_slices=256, proj_dim=18, min_vectors=4)
VISREG = VISReg(name="visreg", scale=2.0, shape=3.0, centre=4.0, num_slices=256, proj_dim=18, min_vectors=4)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def expected_terms(regularizer: Regularizer, projected: Tensor) -> dict[str, Tensor]:
    match regularizer:
        case VICReg():
            return {"variance": 2 * variance_term(projected), "covariance": 3 * covariance_term(projected)}
        case SIGReg():
            return {"sigreg": 2 * sigreg(projected, 256, generator())}
        case VISReg():
            terms = visreg(projected, 256, generator())
            return {"scale": 2 * terms["scale"], "shape": 3 * terms["shape"], "centre": 4 * terms["centre"]}


@pytest.mark.parametrize("regularizer", [VICREG, SIGREG, VISREG])
def test_the_terms_are_those_of_the_regularizer_on_the_projected_units(regularizer: Regularizer) -> None:
    torch.manual_seed(0)
    guard = CollapseGuard(regularizer, 16, 0.1)
    units = rand(12, 16)
    expected = expected_terms(regularizer, guard.projector(units))
    terms = guard(units, generator())
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])


@pytest.mark.parametrize("regularizer", [VICREG, SIGREG, VISREG])
def test_the_first_vector_of_all_has_finite_terms_and_gradients(regularizer: Regularizer) -> None:
    guard = CollapseGuard(regularizer, 16, 0.1)
    terms = guard(rand(1, 16).requires_grad_(), generator())
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in guard.parameters())


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


def test_what_is_not_finite_is_not_stored() -> None:
    recent = RecentVectors(size=7, dim=2)
    good, bad, next_one = rand(3, 2), rand(4, 2, seed=1), rand(2, 2, seed=2)
    bad[1, 0] = torch.nan
    recent.fill_up(good)
    assert recent.fill_up(bad).isnan().any()  # the step itself has to see it
    assert torch.equal(recent.fill_up(next_one), torch.cat([next_one, good]))


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
