from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor

from config.errors import InputError
from config.keys import choice_of
from losses import barlow, cosine, cross_entropy, mse, smooth_l1, summary_target, vicreg
from tasks.prediction_losses import LOSSES

BY_NAME = {str(choice_of(kind)): kind for kind in LOSSES}
NAMES = list(BY_NAME)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def float64(*tensors: Tensor) -> list[NDArray[np.float64]]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def white(vectors: int, dim: int) -> Tensor:
    """[N, D] of mean 0 and covariance I, exactly."""
    centred = normal(vectors, dim) - normal(vectors, dim).mean(dim=0)
    orthonormal: Tensor = torch.linalg.qr(centred.double()).Q.float()
    return orthonormal * math.sqrt(vectors - 1)


def loss_by_name(name: str, prediction: Tensor, target: Tensor, **params: Any) -> Tensor:
    loss = BY_NAME[name].model_validate({"name": name, **params})
    return loss(prediction, target)


# ---------------------------------------------------------------------------------------- distances of vectors


def test_mse_is_the_mean_over_all_elements() -> None:
    prediction, target = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    expected = ((prediction.double() - target.double()) ** 2).mean().item()
    assert mse(prediction, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.5])
def test_smooth_l1_by_numpy(beta: float) -> None:
    prediction, target = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    p, t = float64(prediction, target)
    error = np.abs(p - t)
    expected = np.where(error < beta, error**2 / (2 * beta), error - beta / 2).mean()
    assert smooth_l1(prediction, target, beta).item() == pytest.approx(expected, rel=1e-6)


def test_smooth_l1_is_half_the_mse_for_small_errors_and_does_not_blow_up_with_large_ones() -> None:
    target = normal(4, 5)
    near, far = target + 0.2 * normal(4, 5, seed=1).clamp(-4, 4), target + 1000
    assert smooth_l1(near, target).item() == pytest.approx(mse(near, target).item() / 2, rel=1e-5)
    assert smooth_l1(near, target, beta=2.0).item() == pytest.approx(mse(near, target).item() / 4, rel=1e-5)
    assert smooth_l1(far, target).item() == pytest.approx(999.5, rel=1e-5)


def test_cosine_by_numpy() -> None:
    prediction, target = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    p, t = float64(prediction, target)
    cosines = (p * t).sum(axis=-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(t, axis=-1)
    assert cosine(prediction, target).item() == pytest.approx(1 - cosines.mean(), rel=1e-6)


def test_cosine_sees_directions_alone() -> None:
    prediction, target = normal(6, 5), normal(6, 5, seed=1)
    scales = torch.rand(6, 1, generator=torch.Generator().manual_seed(2)) * 9 + 0.1
    torch.testing.assert_close(cosine(scales * prediction, target / scales), cosine(prediction, target))
    assert cosine(scales * target, target).item() == pytest.approx(0, abs=1e-6)
    assert cosine(-scales * target, target).item() == pytest.approx(2, abs=1e-6)


# ------------------------------------------------------------------------------------------------ cross-entropy


@pytest.mark.parametrize("centre", [None, normal(5, seed=2)])
@pytest.mark.parametrize(("prediction_temperature", "target_temperature"), [(1.0, 0.5), (0.1, 0.04), (1.0, 1.0)])
def test_cross_entropy_by_numpy(
    prediction_temperature: float, target_temperature: float, centre: Tensor | None
) -> None:
    prediction, target = normal(3, 4, 5), normal(3, 4, 5, seed=1)
    p, t = float64(prediction, target)
    scores = t if centre is None else t - centre.double().numpy()
    wanted = softmax(scores / target_temperature, axis=-1)
    expected = -(wanted * log_softmax(p / prediction_temperature, axis=-1)).sum(axis=-1).mean()
    loss = cross_entropy(prediction, target, prediction_temperature, target_temperature, centre)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_least_where_the_softmaxes_agree_and_then_is_the_entropy() -> None:
    target, centre = normal(6, 5), normal(5, seed=2)
    wanted = softmax((target - centre).double().numpy() / 0.5, axis=-1)
    entropy = -(wanted * np.log(wanted)).sum(axis=-1).mean()
    best = (0.3 * (target - centre) / 0.5 + 7).requires_grad_()  # a softmax does not see a constant
    loss = cross_entropy(best, target, 0.3, 0.5, centre)
    assert loss.item() == pytest.approx(entropy, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, best)
    assert gradient.abs().max() < 1e-6
    for seed in range(20):
        assert cross_entropy(best + 0.1 * normal(6, 5, seed=seed), target, 0.3, 0.5, centre) > loss


def test_centring_takes_off_what_all_targets_share() -> None:
    prediction, target, shared = normal(6, 5), normal(6, 5, seed=1), 20 * normal(5, seed=2)
    centred = cross_entropy(prediction, target + shared, centre_D=shared)
    torch.testing.assert_close(centred, cross_entropy(prediction, target), atol=1e-4, rtol=0)
    assert (cross_entropy(prediction, target + shared) - centred).abs() > 0.1


def test_cross_entropy_of_huge_scores_is_finite() -> None:
    prediction = (1e4 * normal(6, 5)).requires_grad_()
    loss = cross_entropy(prediction, 1e4 * normal(6, 5, seed=1), 0.1, 0.04)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss.isfinite()
    assert gradient.isfinite().all()


# -------------------------------------------------------------------------------------------- VICReg and Barlow


def vicreg_terms(vectors: NDArray[np.float64]) -> tuple[float, float]:
    covariance = np.cov(vectors, rowvar=False)
    variance = np.maximum(0, 1 - np.sqrt(np.diag(covariance) + 1e-4)).mean()
    return variance, ((covariance**2).sum() - (np.diag(covariance) ** 2).sum()) / len(covariance)


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 3.0)])
def test_vicreg_by_numpy(weights: tuple[float, float, float]) -> None:
    prediction, target = 0.5 * normal(4, 6, 5) @ normal(5, 5, seed=2), 0.7 * normal(4, 6, 5, seed=1) + 2
    p, t = (values.reshape(-1, 5) for values in float64(prediction, target))
    variance, covariance = np.add(vicreg_terms(p), vicreg_terms(t))
    expected = weights[0] * ((p - t) ** 2).mean() + weights[1] * variance + weights[2] * covariance
    assert vicreg(prediction, target, *weights).item() == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(vicreg(target, prediction, *weights), vicreg(prediction, target, *weights))


def test_vicreg_is_zero_for_white_vectors_that_agree_and_large_for_a_collapsed_batch() -> None:
    vectors = white(64, 8)
    assert vicreg(vectors, vectors).item() == pytest.approx(0, abs=1e-5)
    collapsed = normal(8).expand(64, 8)  # nothing to predict, and the loss is all variance: 2 * 25 * (1 - 0.01)
    assert vicreg(collapsed, collapsed).item() == pytest.approx(49.5, rel=1e-3)
    copies = vectors[:, :1].expand(-1, 8)  # each of the 8 * 7 covariances is 1, over D = 8, on both sides
    assert vicreg(copies, copies).item() == pytest.approx(2 * 7, rel=1e-3)


def test_the_terms_of_a_detached_target_move_nothing() -> None:
    prediction = (0.5 * normal(20, 8)).requires_grad_()
    gradients = [
        torch.autograd.grad(vicreg(prediction, target.detach(), 0.0, 25.0, 1.0), prediction)[0]
        for target in (0.1 * normal(20, 8, seed=1), white(20, 8))
    ]
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 1e-3


@pytest.mark.parametrize("redundancy", [0.005, 1.0])
def test_barlow_by_numpy(redundancy: float) -> None:
    prediction = normal(4, 6, 5) @ normal(5, 5, seed=2) + 3
    target = prediction + 2 * normal(4, 6, 5, seed=1)
    p, t = (values.reshape(-1, 5) for values in float64(prediction, target))
    correlation = np.corrcoef(p, t, rowvar=False)[:5, 5:]
    diagonal = np.diag(correlation)
    off_diagonal = (correlation**2).sum() - (diagonal**2).sum()
    expected = ((1 - diagonal) ** 2).sum() + redundancy * off_diagonal
    assert barlow(prediction, target, redundancy).item() == pytest.approx(expected, rel=1e-3)


def test_barlow_is_zero_for_decorrelated_vectors_that_agree_whatever_their_scale() -> None:
    vectors = white(64, 8)
    assert barlow(vectors, vectors).item() == pytest.approx(0, abs=1e-5)
    assert barlow(5 * vectors - 3, vectors * torch.arange(1, 9) + 1).item() == pytest.approx(0, abs=1e-5)
    assert barlow(-vectors, vectors).item() == pytest.approx(4 * 8, rel=1e-4)
    assert barlow(vectors.roll(1, dims=1), vectors).item() == pytest.approx(8 + 0.005 * 8, rel=1e-4)


def test_barlow_punishes_collapse_and_redundancy() -> None:
    target = white(64, 8)
    collapsed = normal(8).expand(64, 8)
    assert barlow(collapsed, target).item() == pytest.approx(8, rel=1e-5)
    copies = target[:, :1].expand(-1, 8)
    assert barlow(copies, copies, 1.0).item() == pytest.approx(8 * 7, rel=1e-3)


@pytest.mark.parametrize("name", ["vicreg", "barlow"])
def test_statistics_of_a_single_vector_are_an_error_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=f"loss.name={name} .* raise batch_size") as error:
        loss_by_name(name, normal(1, 1, 8), normal(1, 1, 8))
    assert "\n" not in str(error.value)


def test_functions_of_statistics_refuse_a_single_vector() -> None:
    for loss in (vicreg, barlow):
        with pytest.raises(ValueError, match="at least two vectors"):
            loss(normal(1, 1, 8), normal(1, 1, 8))


# -------------------------------------------------------------------------------------------------- all of them


PUBLISHED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "smooth_l1": lambda p, t: smooth_l1(p, t, 1.0),
    "cs": cosine,
    "ce": lambda p, t: cross_entropy(p, t, 1.0, 0.5),
    "vicreg": lambda p, t: vicreg(p, t, 25.0, 25.0, 1.0),
    "barlow": lambda p, t: barlow(p, t, 0.005),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_found_by_name_with_its_published_numbers(name: str) -> None:
    prediction, target = normal(4, 6, 5), normal(4, 6, 5, seed=1)
    assert torch.equal(loss_by_name(name, prediction, target), PUBLISHED[name](prediction, target))


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("smooth_l1", {"beta": 0.2}, lambda p, t: smooth_l1(p, t, 0.2)),
        ("ce", {"prediction_temperature": 0.2}, lambda p, t: cross_entropy(p, t, 0.2, 0.5)),
        ("ce", {"target_temperature": 0.1}, lambda p, t: cross_entropy(p, t, 1.0, 0.1)),
        ("vicreg", {"invariance": 1}, lambda p, t: vicreg(p, t, 1.0, 25.0, 1.0)),
        ("vicreg", {"variance": 2, "covariance": 3}, lambda p, t: vicreg(p, t, 25.0, 2.0, 3.0)),
        ("barlow", {"redundancy": 0.5}, lambda p, t: barlow(p, t, 0.5)),
    ],
)
def test_every_parameter_counts(name: str, params: dict[str, float], expected: Any) -> None:
    prediction, target = 0.5 * normal(4, 6, 5), normal(4, 6, 5, seed=1)
    loss = loss_by_name(name, prediction, target, **params)
    assert torch.equal(loss, expected(prediction, target))
    assert not torch.equal(loss, loss_by_name(name, prediction, target))


def test_the_centre_is_taken_off_by_ce_and_by_no_other() -> None:
    prediction, target, centre = normal(6, 5), normal(6, 5, seed=1), normal(5, seed=2)
    for name in NAMES:
        loss = BY_NAME[name].model_validate({"name": name})(prediction, target, centre)
        plain = loss_by_name(name, prediction, target)
        assert torch.equal(loss, plain) == (name != "ce")
    assert torch.equal(
        BY_NAME["ce"].model_validate({"name": "ce"})(prediction, target, centre),
        cross_entropy(prediction, target, centre_D=centre),
    )


def test_misuse_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"prediction \(4, 5\) and target \(1, 5\) differ in shape"):
        loss_by_name("mse", normal(4, 5), normal(1, 5))


@pytest.mark.parametrize("name", NAMES)
def test_leading_axes_do_not_matter(name: str) -> None:
    prediction, target = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    loss = loss_by_name(name, prediction, target)
    assert loss.shape == ()
    torch.testing.assert_close(loss_by_name(name, prediction.flatten(0, 2), target.flatten(0, 2)), loss)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", ["standardize", "layer", "none"])
def test_gradient_reaches_the_prediction_and_the_target_only_if_not_detached(name: str, norm: Any) -> None:
    prediction, summaries = normal(12, 5).requires_grad_(), normal(12, 5, seed=1).requires_grad_()
    loss_by_name(name, prediction, summary_target(summaries, norm)).backward()
    assert summaries.grad is None
    assert prediction.grad is not None
    assert prediction.grad.abs().max() > 0
    loss_by_name(name, prediction, summary_target(summaries, norm, detach=False)).backward()
    assert summaries.grad is not None
    assert summaries.grad.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_step_against_the_gradient_lowers_the_loss(name: str) -> None:
    prediction, target = normal(12, 5).requires_grad_(), normal(12, 5, seed=1)
    loss = loss_by_name(name, prediction, target)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss_by_name(name, prediction - 0.01 * gradient / gradient.norm(), target) < loss


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("vectors", [torch.zeros(6, 5), torch.ones(5).expand(6, 5)])
def test_losses_and_gradients_of_collapsed_vectors_are_finite(name: str, vectors: Tensor) -> None:
    prediction, target = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    loss = loss_by_name(name, prediction, target)
    loss.backward()
    assert loss.isfinite()
    for side in (prediction, target):
        assert side.grad is not None
        assert side.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_taken_in_float32_whatever_the_autocast(name: str) -> None:
    prediction, target = normal(12, 5), normal(12, 5, seed=1)
    plain = loss_by_name(name, prediction, target)
    assert plain.dtype == torch.float32
    rough = prediction.bfloat16(), target.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss_by_name(name, prediction, target), plain)
        loss = loss_by_name(name, *rough)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, loss_by_name(name, rough[0].float(), rough[1].float()))
