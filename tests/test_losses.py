from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate
from torch import Tensor

from losses import covariance_term, mse, patch_target, sigreg, summary_target, variance_term


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ----------------------------------------------------------------------------------------------------- targets


def layer_norm(values: NDArray[np.float64], eps: float) -> NDArray[np.float64]:
    centred = values - values.mean(axis=-1, keepdims=True)
    result: NDArray[np.float64] = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return result


def test_patch_target_is_a_layer_norm_that_spares_flat_patches() -> None:
    patches = normal(2, 3, 4, 12) * 5 + 2
    expected = layer_norm(patches.double().numpy(), eps=1.0)
    np.testing.assert_allclose(patch_target(patches).numpy(), expected, atol=1e-5)
    flat = torch.full((1, 12), 0.7) + 1e-3 * normal(1, 12)
    assert patch_target(flat).abs().max() < 0.02


def test_summary_target_is_standardised_over_the_batch_then_layer_normalised() -> None:
    summaries = normal(4, 6, 10) * torch.arange(1, 11) + 3
    values = summaries.double().numpy().reshape(-1, 10)
    standardised = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-5)
    expected = layer_norm(standardised, eps=1e-5).reshape(4, 6, 10)
    np.testing.assert_allclose(summary_target(summaries).numpy(), expected, atol=1e-4)


def test_what_all_summaries_share_does_not_survive() -> None:
    summaries = normal(64, 10)
    shared = 50 * normal(10, seed=1)
    torch.testing.assert_close(summary_target(summaries + shared), summary_target(summaries), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(summary_target(7 * summaries), summary_target(summaries), atol=1e-3, rtol=1e-3)
    # A layer norm alone would give every summary nearly the same target.
    target = summary_target(normal(64, 10) * 0.01 + shared)
    assert target.std(dim=0).min() > 0.5
    torch.testing.assert_close(target.square().mean(dim=-1), torch.ones(64), atol=0.05, rtol=0)


@pytest.mark.parametrize("make", [patch_target, summary_target])
def test_targets_are_detached_and_in_float32(make: Callable[[Tensor], Tensor]) -> None:
    summaries = normal(3, 8).requires_grad_()
    target = make(summaries)
    assert not target.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert make(summaries.bfloat16()).dtype == torch.float32
        assert torch.equal(make(summaries), target)


@pytest.mark.parametrize("vectors", [normal(1, 1, 8), normal(1, 8), torch.zeros(3, 8), normal(8).expand(5, 8)])
def test_vectors_that_are_all_alike_give_zeros(vectors: Tensor) -> None:
    target = summary_target(vectors)
    assert target.shape == vectors.shape
    assert target.abs().max() < 0.05


def test_mse_is_the_mean_over_all_elements() -> None:
    prediction, target = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    expected = ((prediction.double() - target.double()) ** 2).mean().item()
    assert mse(prediction, target).item() == pytest.approx(expected, rel=1e-6)
    assert mse(prediction.bfloat16(), target).dtype == torch.float32


# ------------------------------------------------------------------------------------------------------- VICReg


def test_variance_term_by_numpy() -> None:
    vectors = normal(50, 8) * torch.linspace(0.1, 2, 8) + 5
    std = np.sqrt(vectors.double().numpy().var(axis=0, ddof=1) + 1e-4)
    assert (std > 1).any()
    assert variance_term(vectors).item() == pytest.approx(np.maximum(0, 1 - std).mean(), rel=1e-5)


def test_variance_term_is_zero_for_unit_variance_and_one_for_a_collapsed_batch() -> None:
    collapsed = normal(8).expand(40, 8).clone().requires_grad_()
    term = variance_term(collapsed)
    assert term.item() == pytest.approx(1 - math.sqrt(1e-4))
    term.backward()
    assert collapsed.grad is not None
    assert collapsed.grad.isfinite().all()
    vectors = normal(40, 8)
    assert variance_term(1.001 * vectors / vectors.std(dim=0)).item() == 0


def test_variance_term_pushes_vectors_apart() -> None:
    vectors = (0.1 * normal(40, 8)).requires_grad_()
    (gradient,) = torch.autograd.grad(variance_term(vectors), vectors)
    assert variance_term(vectors - 10 * gradient) < variance_term(vectors)


def test_covariance_term_by_numpy() -> None:
    vectors = normal(50, 8) @ normal(8, 8, seed=1) + 3
    covariance = np.cov(vectors.double().numpy(), rowvar=False)
    expected = ((covariance**2).sum() - (np.diag(covariance) ** 2).sum()) / 8
    assert covariance_term(vectors).item() == pytest.approx(expected, rel=1e-4)


def test_covariance_term_is_small_for_independent_dimensions_and_large_for_copies() -> None:
    independent = normal(20_000, 8)
    assert covariance_term(independent).item() < 2 * 7 / 20_000
    copies = independent[:, :1].expand(-1, 8)
    assert covariance_term(copies).item() == pytest.approx(7, rel=0.05)


# ------------------------------------------------------------------------------------------------------- SIGReg


def statistic(values: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """N |phi_hat(t) - phi(t)|^2 phi(t) of a sample."""
    phi_hat = np.exp(1j * np.multiply.outer(t, values)).mean(axis=-1)
    phi = np.exp(-(t**2) / 2)
    result: NDArray[np.float64] = len(values) * np.abs(phi_hat - phi) ** 2 * phi
    return result


def directions(dim: int, slices: int, seed: int) -> NDArray[np.float64]:
    drawn = torch.randn(dim, slices, generator=generator(seed)).double().numpy()
    result: NDArray[np.float64] = drawn / np.linalg.norm(drawn, axis=0)
    return result


def test_sigreg_is_the_trapezoid_sum_of_the_published_statistic() -> None:
    vectors = normal(30, 5, seed=1) * 1.5 + 0.3
    projected = vectors.double().numpy() @ directions(5, 256, seed=2)
    knots = np.linspace(0, 3, 17)
    weights = np.full(17, 3 / 16)
    weights[[0, -1]] /= 2
    expected = np.mean([2 * (statistic(sample, knots) * weights).sum() for sample in projected.T])
    assert sigreg(vectors, 256, generator(2)).item() == pytest.approx(expected, rel=1e-4)


def test_sigreg_is_close_to_the_integral_from_minus_3_to_3() -> None:
    vectors = normal(30, 2, seed=1) * 1.5 + 0.3
    projected = vectors.double().numpy() @ directions(2, 256, seed=2)
    fine = np.linspace(-3, 3, 1201)
    exact = np.mean([integrate.simpson(statistic(sample, fine), x=fine) for sample in projected.T])
    quad, _ = integrate.quad(lambda t: float(statistic(projected[:, 0], np.array([t]))[0]), -3, 3)
    assert integrate.simpson(statistic(projected[:, 0], fine), x=fine) == pytest.approx(quad, rel=1e-6)
    assert sigreg(vectors, 256, generator(2)).item() == pytest.approx(exact, rel=0.02)


def test_sigreg_of_a_standard_normal_is_near_its_expectation_and_far_off_for_anything_else() -> None:
    # E N |phi_hat - phi|^2 = 1 - |phi|^2, whatever N.
    expected, _ = integrate.quad(lambda t: (1 - math.exp(-(t**2))) * math.exp(-(t**2) / 2), -3, 3)
    vectors = normal(2000, 16)
    assert sigreg(vectors, 1024, generator()).item() == pytest.approx(expected, rel=0.15)
    for wrong in (torch.zeros(2000, 16), 2 * vectors, 0.5 * vectors, vectors + 1, vectors[:, :1].expand(-1, 16)):
        assert sigreg(wrong, 1024, generator()).item() > 10 * expected


def test_sigreg_depends_on_its_generator_alone() -> None:
    vectors = normal(40, 8)
    first = sigreg(vectors, 256, generator(5))
    torch.manual_seed(99)
    assert torch.equal(sigreg(vectors, 256, generator(5)), first)
    assert not torch.equal(sigreg(vectors, 256, generator(6)), first)
    state = torch.get_rng_state()
    sigreg(vectors, 256, generator(5))
    assert torch.equal(torch.get_rng_state(), state)


def test_sigreg_pulls_collapsed_vectors_apart() -> None:
    vectors = (0.1 * normal(64, 4)).requires_grad_()
    (gradient,) = torch.autograd.grad(sigreg(vectors, 256, generator()), vectors)
    assert gradient.isfinite().all()
    assert sigreg(vectors - 0.1 * gradient, 256, generator()) < sigreg(vectors, 256, generator())


# ---------------------------------------------------------------------------------------------------- precision


def sigreg_256(vectors: Tensor) -> Tensor:
    return sigreg(vectors, 256, generator())


@pytest.mark.parametrize("term", [variance_term, covariance_term, sigreg_256])
def test_statistics_are_taken_in_float32_whatever_the_autocast(term: Callable[[Tensor], Tensor]) -> None:
    vectors = 0.9 * normal(64, 16)
    plain = term(vectors)
    assert plain.dtype == torch.float32
    rough = vectors.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(term(vectors), plain)
        assert term(rough).dtype == torch.float32
    assert torch.equal(term(rough), term(rough.float()))
