from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate, stats
from torch import Tensor

from losses import covariance_term, patch_target, sigreg, summary_target, variance_term, visreg


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


@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_layer_normalised_summaries_keep_what_they_share(factor: float) -> None:
    summaries = factor * (normal(4, 6, 10) + 3 * normal(10, seed=1))
    expected = layer_norm(summaries.double().numpy(), eps=1e-5)
    np.testing.assert_allclose(summary_target(summaries, "layer").numpy(), expected, atol=1e-5)
    assert summary_target(summaries, "layer").flatten(0, 1).mean(dim=0).abs().max() > 0.5


def test_raw_summaries_stay_as_they_are() -> None:
    summaries = (7 * normal(4, 6, 10) + 1).bfloat16()
    target = summary_target(summaries, "none")
    assert target.dtype == torch.float32
    assert torch.equal(target, summaries.float())


NORMS = ("standardize", "layer", "none")


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_reaches_summaries_only_where_the_target_is_not_detached(norm: Literal["standardize"]) -> None:
    summaries = normal(5, 8).requires_grad_()
    assert not summary_target(summaries, norm).requires_grad
    target = summary_target(summaries, norm, detach=False)
    assert torch.equal(target, summary_target(summaries, norm))
    (gradient,) = torch.autograd.grad(target.pow(3).sum(), summaries)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0.01


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("vectors", [torch.zeros(3, 8), torch.ones(8).expand(5, 8), torch.ones(1, 8)])
def test_gradient_of_summaries_that_are_all_alike_is_finite(vectors: Tensor, norm: Literal["standardize"]) -> None:
    summaries = vectors.clone().requires_grad_()
    target = summary_target(summaries, norm, detach=False)
    (gradient,) = torch.autograd.grad((target - 1).square().sum(), summaries)
    assert gradient.isfinite().all()


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


# ------------------------------------------------------------------------------------------------------- VISReg


def visreg_by_numpy(vectors: NDArray[np.float64], w: NDArray[np.float64]) -> dict[str, float]:
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    quantiles = stats.norm.ppf(np.arange(1, len(vectors) + 1) / (len(vectors) + 1))
    projected = np.sort((vectors - mean) / std @ w, axis=0)
    return {
        "scale": float(((1 - std) ** 2).mean()),
        "shape": float(((projected - quantiles[:, None]) ** 2).mean()),
        "centre": float((mean**2).mean()),
    }


def test_visreg_by_numpy() -> None:
    vectors = normal(40, 5, seed=1).exp() * torch.linspace(0.2, 2, 5) + 0.3
    terms = visreg(vectors, 256, generator(2))
    expected = visreg_by_numpy(vectors.double().numpy(), directions(5, 256, seed=2))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)
    assert {(term.shape, term.dtype) for term in terms.values()} == {(torch.Size([]), torch.float32)}


def test_visreg_of_a_standard_normal_is_near_its_expectation() -> None:
    vectors, dim = 500, 16
    rng = np.random.default_rng(0)
    w = rng.standard_normal((dim, 64))
    w /= np.linalg.norm(w, axis=0)
    draws = [visreg_by_numpy(rng.standard_normal((vectors, dim)), w) for _ in range(60)]
    seen = [visreg(normal(vectors, dim, seed=seed), 256, generator(seed)) for seed in range(12)]
    mean = {name: np.mean([terms[name].item() for terms in seen]) for name in ("scale", "shape", "centre")}
    assert mean == pytest.approx({name: np.mean([draw[name] for draw in draws]) for name in mean}, rel=0.2)
    # What is known without drawing: var(std) = 1 / (2 N), var(mean) = 1 / N.
    assert mean["scale"] == pytest.approx(1 / (2 * vectors), rel=0.2)
    assert mean["centre"] == pytest.approx(1 / vectors, rel=0.2)


def test_each_term_of_visreg_sees_what_is_wrong_and_only_that() -> None:
    vectors = normal(2000, 16)
    base = visreg(vectors, 256, generator())
    far, wide = visreg(vectors + 1, 256, generator()), visreg(3 * vectors, 256, generator())
    collapsed = visreg(1e-3 * vectors, 256, generator())
    low_rank = visreg(vectors[:, :2].repeat(1, 8), 256, generator())
    assert far["centre"] > 100 * base["centre"]
    assert wide["scale"].item() == pytest.approx(4, rel=0.05)
    assert collapsed["scale"].item() == pytest.approx(1, rel=0.01)
    assert low_rank["shape"] > 20 * base["shape"]
    for terms in (far, wide, collapsed):
        torch.testing.assert_close(terms["shape"], base["shape"], rtol=1e-2, atol=0)
    for terms in (far, low_rank):
        assert terms["scale"] < 3 * base["scale"]


def test_sigreg_and_visreg_tell_a_cube_from_a_ball() -> None:
    cube = (torch.rand(4000, 2, generator=generator()) - 0.5) * math.sqrt(12)
    assert sigreg(cube, 256, generator()) > 4 * sigreg(normal(4000, 2), 256, generator())
    assert visreg(cube, 256, generator())["shape"] > 4 * visreg(normal(4000, 2), 256, generator())["shape"]


def test_gradient_of_the_shape_is_that_of_a_constant_std() -> None:
    vectors = (normal(30, 5, seed=1) * 0.4 + 0.3).requires_grad_()
    (gradient,) = torch.autograd.grad(visreg(vectors, 256, generator(2))["shape"], vectors)
    values, w = vectors.detach().double().numpy(), directions(5, 256, seed=2)
    projected = (values - values.mean(axis=0)) / values.std(axis=0) @ w
    rank = projected.argsort(axis=0).argsort(axis=0)
    error = projected - stats.norm.ppf((rank + 1) / 31)
    expected = 2 / error.size * error @ w.T / values.std(axis=0)
    np.testing.assert_allclose(gradient.numpy(), expected - expected.mean(axis=0), atol=1e-5)


def spread(gradient: Tensor) -> float:
    """Norm of what moves vectors apart, rather than all of them together."""
    return float((gradient - gradient.mean(dim=0)).norm())


def test_visreg_has_a_gradient_at_collapse_where_that_of_sigreg_vanishes() -> None:
    sigreg_spread, scale_spread, shape_spread = [], [], []
    for size in (1e-1, 1e-2, 1e-3):
        vectors = (size * normal(64, 8)).requires_grad_()
        terms = visreg(vectors, 256, generator())
        sigreg_spread.append(spread(torch.autograd.grad(sigreg(vectors, 256, generator()), vectors)[0]))
        scale_spread.append(spread(torch.autograd.grad(terms["scale"], vectors, retain_graph=True)[0]))
        shape_spread.append(spread(torch.autograd.grad(terms["shape"], vectors)[0]))
    # SIGReg's is in proportion to the size; |d scale / d vectors| tends to 2 / sqrt(N D); the shape's grows.
    assert sigreg_spread[1] / sigreg_spread[2] == pytest.approx(10, rel=0.05)
    assert scale_spread[2] == pytest.approx(2 / math.sqrt(64 * 8), rel=0.01)
    assert scale_spread[2] > scale_spread[0]
    assert shape_spread[0] < shape_spread[1] < shape_spread[2]


@pytest.mark.parametrize("vectors", [torch.zeros(40, 8), normal(8).expand(40, 8), normal(1, 8), 1e-20 * normal(40, 8)])
def test_visreg_of_vectors_that_are_all_alike_is_finite_and_so_is_its_gradient(vectors: Tensor) -> None:
    vectors = vectors.clone().requires_grad_()
    terms = visreg(vectors, 256, generator())
    assert terms["scale"].item() == pytest.approx(1, abs=1e-4)
    torch.stack(list(terms.values())).sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_visreg_pulls_collapsed_vectors_apart() -> None:
    vectors = 1e-3 * normal(64, 8)
    for _ in range(300):
        vectors.requires_grad_()
        terms = visreg(vectors, 256, generator())
        (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), vectors)
        vectors = (vectors - 5 * gradient / gradient.norm().clamp(min=1)).detach()
    final = visreg(vectors, 256, generator(1))
    assert final["scale"] < 0.01
    assert final["shape"] < 0.1


def test_visreg_depends_on_its_generator_alone() -> None:
    vectors = normal(40, 8)
    first = visreg(vectors, 256, generator(5))["shape"]
    state = torch.get_rng_state()
    assert torch.equal(visreg(vectors, 256, generator(5))["shape"], first)
    assert not torch.equal(visreg(vectors, 256, generator(6))["shape"], first)
    assert torch.equal(torch.get_rng_state(), state)


# ---------------------------------------------------------------------------------------------------- precision


def sigreg_256(vectors: Tensor) -> Tensor:
    return sigreg(vectors, 256, generator())


def visreg_256(vectors: Tensor) -> Tensor:
    return torch.stack(list(visreg(vectors, 256, generator()).values()))


@pytest.mark.parametrize("term", [variance_term, covariance_term, sigreg_256, visreg_256])
def test_statistics_are_taken_in_float32_whatever_the_autocast(term: Callable[[Tensor], Tensor]) -> None:
    vectors = 0.9 * normal(64, 16)
    plain = term(vectors)
    assert plain.dtype == torch.float32
    rough = vectors.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(term(vectors), plain)
        assert term(rough).dtype == torch.float32
    assert torch.equal(term(rough), term(rough.float()))
