"""Targets, prediction losses and regularisers against collapse: pure functions of tensors, computed in float32.

The losses detach nothing: whoever makes a target decides whether gradient flows into it. Their keys in a config stand
in `tasks/prediction_losses.py` and `tasks/regularizers.py`. Statistics over a batch come from
`architecture/batch_statistics.py`.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from architecture import batch_statistics
from architecture.batch_statistics import full_precision

# --------------------------------------------------------------------------------------------------- targets


def summary_target(
    summaries: Tensor, norm: Literal["standardize", "layer", "none"] = "standardize", detach: bool = True
) -> Tensor:
    """Summaries as other units predict them, in float32.

    A layer norm alone leaves what all summaries have in common, which soon is most of them: predicting it is easy
    and teaches nothing (measured: up and side fall to 0.01 within 200 steps while kNN stays at its floor).

    Args:
        summaries: [..., D].
        norm: `standardize`: over the batch, then layer-normalised; `layer`: layer-normalised; `none`: as they are.
        detach: False lets the gradient of the loss into the summaries.
    """
    summaries = (summaries.detach() if detach else summaries).float()
    if norm == "none":
        return summaries
    if norm == "standardize":
        vectors_ND = summaries.flatten(0, -2)
        mean_D, std_D = batch_statistics.mean(vectors_ND), batch_statistics.std(vectors_ND)
        summaries = (summaries - mean_D) / (std_D + 1e-5)
    return F.layer_norm(summaries, summaries.shape[-1:])


def patch_target(patches: Tensor, eps: float = 1.0) -> Tensor:
    """Patches as frames predict them: detached, each with zero mean and unit variance, in float32.

    MAE's normalised pixels (He et al., 2022, arXiv 2111.06377), but for `eps`, the variance of normalised pixels as a
    whole: patches with much less hold texture and noise rather than things, and would make up most of the loss if they
    were blown up to unit variance.

    Args:
        patches: [..., D] pixels of the normalised video, or the stem's tokens.
        eps: added to the variance.
    """
    patches = patches.detach().float()
    return F.layer_norm(patches, patches.shape[-1:], eps=eps)


def patches_of_target(target: Tensor, patches: Tensor, eps: float = 1.0) -> Tensor:
    """Inverts `patch_target`, for looking at predictions: with the mean and the contrast of the true patches.

    Args:
        target: [..., D], normalised, or a prediction of it.
        patches: [..., D], which were normalised.
        eps: as for `patch_target`.
    """
    patches = patches.detach().float()
    variance, mean = torch.var_mean(patches, dim=-1, correction=0, keepdim=True)
    return target.float() * (variance + eps).sqrt() + mean


# ---------------------------------------------------------------------------------------- prediction losses


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over all elements, in float32.

    Args:
        prediction: [..., D].
        target: of the same shape.
    """
    return F.mse_loss(prediction.float(), target.float())


def smooth_l1(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Smooth L1 loss, mean over all elements: e^2 / (2 beta) where |e| < beta, else |e| - beta / 2.

    With beta 1 it is half the mean squared error as long as errors are small (Girshick, 2015, arXiv 1504.08083).

    Args:
        prediction: [..., D].
        target: of the same shape.
        beta: error at which the square turns into a line, above 0.
    """
    return F.smooth_l1_loss(prediction.float(), target.float(), beta=beta)


def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - cosine of the angle between prediction and target, mean over the vectors: 0 to 2.

    Half of BYOL's loss, the squared distance of the normalised vectors (Grill et al., 2020, arXiv 2006.07733).

    Args:
        prediction: [..., D].
        target: of the same shape.
    """
    return 1 - F.cosine_similarity(prediction.float(), target.float(), dim=-1).mean()


def cross_entropy(
    prediction: Tensor,
    target: Tensor,
    prediction_temperature: float = 1.0,
    target_temperature: float = 0.5,
    centre_D: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of two softmaxes over the dimensions, mean over the vectors (DINO, Caron et al., 2021, 2104.14294).

    Its least value is the entropy of the target's softmax. A target temperature below the prediction's sharpens what
    is to be predicted; the centre keeps one dimension from winning everywhere.

    Args:
        prediction: scores, [..., D].
        target: scores, of the same shape.
        prediction_temperature: divides the prediction's scores, above 0.
        target_temperature: divides the target's scores, above 0.
        centre_D: running mean of targets, taken off the target's scores; None: nothing is.
    """
    target = target.float() if centre_D is None else target.float() - centre_D.float()
    wanted = F.softmax(target / target_temperature, dim=-1)
    return -(wanted * F.log_softmax(prediction.float() / prediction_temperature, dim=-1)).sum(dim=-1).mean()


def vicreg(
    prediction: Tensor, target: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """The sum of `vicreg_terms`: a prediction loss that also spreads what it compares."""
    terms = vicreg_terms(prediction, target, invariance, variance, covariance)
    return terms["invariance"] + terms["variance"] + terms["covariance"]


def vicreg_terms(
    first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> dict[str, Tensor]:
    """VICReg: mean squared error, and the variance and covariance terms of both sides (Bardes et al., 2105.04906).

    The terms of both sides are summed, as in the paper; the authors' code takes the mean of the two variance terms
    instead (facebookresearch/vicreg issue 8). The squared error is the mean over all elements, as in their code. The
    terms of a detached side are constants.

    Args:
        first: [..., D], at least two vectors.
        second: of the same shape.
        invariance: weight of the mean squared error.
        variance: weight of the variance terms.
        covariance: weight of the covariance terms.

    Returns:
        The weighted terms by name.

    Raises:
        ValueError: there is a single vector.
    """
    first_ND, second_ND = _vectors(first), _vectors(second)
    return {
        "invariance": invariance * mse(first_ND, second_ND),
        "variance": variance * (variance_term(first_ND) + variance_term(second_ND)),
        "covariance": covariance * (covariance_term(first_ND) + covariance_term(second_ND)),
    }


def barlow(prediction: Tensor, target: Tensor, redundancy: float = 0.005) -> Tensor:
    """Barlow Twins: the cross-correlation of prediction and target is pulled to the identity.

    Both are standardised over the batch, C = prediction^T target / N, and the loss is the sum of (1 - C_ii)^2 plus
    `redundancy` times the sum of C_ij^2, i != j (Zbontar et al., 2021, arXiv 2103.03230). A sum over D, as published:
    about D where nothing is predicted.

    Args:
        prediction: [..., D], at least two vectors.
        target: of the same shape.
        redundancy: weight of the off-diagonal correlations.

    Raises:
        ValueError: there is a single vector.
    """
    prediction_ND, target_ND = _standardised(_vectors(prediction)), _standardised(_vectors(target))
    correlation_DD = batch_statistics.products(prediction_ND, target_ND, batch_statistics.count(prediction_ND))
    diagonal_D = correlation_DD.diagonal()
    off_diagonal = correlation_DD.square().sum() - diagonal_D.square().sum()
    return (1 - diagonal_D).square().sum() + redundancy * off_diagonal


# --------------------------------------------------------------------------------------------- regularisers


def variance_term(vectors_ND: Tensor, eps: float = 1e-4) -> Tensor:
    """VICReg's variance term: the mean over dimensions of max(0, 1 - std) (Bardes et al., 2022, arXiv 2105.04906).

    Args:
        vectors_ND: [N, D], N >= 2.
        eps: keeps the root's gradient finite.
    """
    std_D = torch.sqrt(batch_statistics.variance(vectors_ND.float(), correction=1) + eps)
    return F.relu(1 - std_D).mean()


def covariance_term(vectors_ND: Tensor) -> Tensor:
    """VICReg's covariance term: squared off-diagonal covariances, summed and divided by D (arXiv 2105.04906).

    Args:
        vectors_ND: [N, D], N >= 2.
    """
    vectors_ND = vectors_ND.float()
    centred_ND = vectors_ND - batch_statistics.mean(vectors_ND)
    covariance_DD = batch_statistics.products(centred_ND, centred_ND, batch_statistics.count(vectors_ND) - 1)
    return (covariance_DD.square().sum() - covariance_DD.diagonal().square().sum()) / vectors_ND.shape[1]


def sigreg(vectors_ND: Tensor, num_slices: int, generator: torch.Generator) -> Tensor:
    """SIGReg: the Epps-Pulley distance of random one-dimensional projections to N(0, 1).

    N * integral over t in [-3, 3] of |phi_hat(t) - exp(-t^2/2)|^2 exp(-t^2/2), mean over the projections, where
    phi_hat is the empirical characteristic function; by the trapezoid rule on 17 knots of [0, 3], doubled
    (LeJEPA, Balestriero & LeCun, 2025, arXiv 2511.08544).

    Args:
        vectors_ND: [N, D].
        num_slices: random unit directions.
        generator: draws the directions; on the CPU, so that they do not depend on the device.
    """
    projected_NS = _random_projections(vectors_ND.float(), num_slices, generator)
    knots_K = torch.linspace(0, 3, 17, device=vectors_ND.device)
    normal_K = torch.exp(-knots_K.square() / 2)
    angles_NSK = projected_NS[..., None] * knots_K
    cosine_SK, sine_SK = batch_statistics.mean(angles_NSK.cos()), batch_statistics.mean(angles_NSK.sin())
    distance_SK = (cosine_SK - normal_K).square() + sine_SK.square()
    statistic_S = 2 * batch_statistics.count(vectors_ND) * torch.trapezoid(distance_SK * normal_K, knots_K, dim=-1)
    return statistic_S.mean()


def visreg(
    vectors_ND: Tensor, num_slices: int, generator: torch.Generator, eps: float = 1e-4
) -> dict[Literal["scale", "shape", "centre"], Tensor]:
    """VISReg's three terms, unweighted: the distance to N(0, I), scale and shape apart.

    `centre`: the mean over dimensions of the squared mean. `scale`: the mean over dimensions of (1 - std)^2, std with
    divisor N. `shape`: the sliced Wasserstein distance, that is, centred vectors over their *detached* std are
    projected on random unit directions, sorted, and compared with the quantiles i / (N + 1) of N(0, 1) by their mean
    squared distance (Wu, Balestriero & Levine, 2026, arXiv 2606.02572, algorithm 1). Published with weights 1, 1, 1
    and 4096 slices.

    Where SIGReg's gradient vanishes with the vectors' spread, `scale`'s tends to a constant, and `shape`'s grows.

    Args:
        vectors_ND: [N, D], N >= 2.
        num_slices: random unit directions.
        generator: draws the directions; on the CPU, so that they do not depend on the device.
        eps: least std that is divided by; it bounds the gradient of `shape` for collapsed vectors. The paper has none.
    """
    vectors_ND = batch_statistics.gathered(vectors_ND.float())  # quantiles need the order of all of them
    mean_D = vectors_ND.mean(dim=0)
    centred_ND = vectors_ND - mean_D
    std_D = centred_ND.std(dim=0, correction=0)
    projected_NS = _random_projections(centred_ND / std_D.detach().clamp(min=eps), num_slices, generator)
    rank_N = torch.arange(1, len(vectors_ND) + 1, device=vectors_ND.device)
    quantile_N = torch.special.ndtri(rank_N / (len(vectors_ND) + 1))
    return {
        "scale": (1 - std_D).square().mean(),
        "shape": (projected_NS.sort(dim=0).values - quantile_N[:, None]).square().mean(),
        "centre": mean_D.square().mean(),
    }


# -------------------------------------------------------------------------------------------------- helpers


def _random_projections(vectors_ND: Tensor, num_slices: int, generator: torch.Generator) -> Tensor:
    """[N, D] on `num_slices` random unit directions, [N, S]."""
    directions_DS = torch.randn(vectors_ND.shape[1], num_slices, generator=generator).to(vectors_ND.device)
    with full_precision(vectors_ND):
        return vectors_ND @ F.normalize(directions_DS, dim=0)


def _vectors(tensor: Tensor) -> Tensor:
    """[..., D] to [N, D] in float32; raises ValueError where statistics over N mean nothing."""
    vectors_ND = tensor.float().flatten(0, -2)
    if batch_statistics.count(vectors_ND) < 2:
        raise ValueError("statistics over a batch need at least two vectors, got one")
    return vectors_ND


def _standardised(vectors_ND: Tensor) -> Tensor:
    """Zero mean and unit variance over the batch, as by a BatchNorm without parameters."""
    variance_D, mean_D = batch_statistics.variance_and_mean(vectors_ND)
    return (vectors_ND - mean_D) / torch.sqrt(variance_D + 1e-5)
