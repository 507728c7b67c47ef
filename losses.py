"""Targets, prediction losses and regularisers against collapse: pure functions of tensors, computed in float32.

The losses detach nothing: who makes a target says whether gradient flows into it.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from config.errors import InputError
from config.losses import BarlowParams, CrossEntropyParams, LossName, NoParams, SmoothL1Params, VICRegParams
from config.section import Section

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
        mean_D, std_D = summaries.flatten(0, -2).mean(dim=0), summaries.flatten(0, -2).std(dim=0, correction=0)
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


# ---------------------------------------------------------------------------------------- prediction losses


def prediction_loss(
    name: LossName, params: Section, prediction: Tensor, target: Tensor, centre_D: Tensor | None = None
) -> Tensor:
    """The prediction loss that a config names, a float32 scalar.

    Args:
        name: `loss_fn`.
        params: its validated parameters, `LOSS_PARAMS[config.loss_fn].model_validate(config.loss_params)`.
        prediction: [..., D].
        target: of the same shape.
        centre_D: running mean of targets; `ce` takes it off them, the other losses have no use for it.

    Raises:
        TypeError: if `params` are those of another loss.
        ValueError: if the shapes differ; broadcasting would hide a mistake.
        InputError: if a loss of statistics (vicreg, barlow) is given a single vector.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    match name, params:
        case "mse", NoParams():
            return mse(prediction, target)
        case "smooth_l1", SmoothL1Params():
            return smooth_l1(prediction, target, params.beta)
        case "cs", NoParams():
            return cosine(prediction, target)
        case "ce", CrossEntropyParams():
            temperatures = params.prediction_temperature, params.target_temperature
            return cross_entropy(prediction, target, *temperatures, centre_D=centre_D)
        case "vicreg", VICRegParams():
            return vicreg(prediction, target, params.invariance, params.variance, params.covariance)
        case "barlow", BarlowParams():
            return barlow(prediction, target, params.redundancy)
    raise TypeError(f"{type(params).__name__} are no parameters of the loss {name}")


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
        InputError: if there is a single vector.
    """
    first_ND, second_ND = _vectors(first, "vicreg"), _vectors(second, "vicreg")
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
        InputError: if there is a single vector.
    """
    prediction_ND, target_ND = _standardised(_vectors(prediction, "barlow")), _standardised(_vectors(target, "barlow"))
    with _full_precision(prediction_ND):
        correlation_DD = prediction_ND.T @ target_ND / len(prediction_ND)
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
    std_D = torch.sqrt(vectors_ND.float().var(dim=0) + eps)
    return F.relu(1 - std_D).mean()


def covariance_term(vectors_ND: Tensor) -> Tensor:
    """VICReg's covariance term: squared off-diagonal covariances, summed and divided by D (arXiv 2105.04906).

    Args:
        vectors_ND: [N, D], N >= 2.
    """
    vectors_ND = vectors_ND.float()
    centred_ND = vectors_ND - vectors_ND.mean(dim=0)
    with _full_precision(vectors_ND):
        covariance_DD = centred_ND.T @ centred_ND / (len(vectors_ND) - 1)
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
    distance_SK = (angles_NSK.cos().mean(dim=0) - normal_K).square() + angles_NSK.sin().mean(dim=0).square()
    statistic_S = 2 * len(vectors_ND) * torch.trapezoid(distance_SK * normal_K, knots_K, dim=-1)
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
    vectors_ND = vectors_ND.float()
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


def _full_precision(tensor: Tensor) -> torch.autocast:
    """Switches autocast off, which would take a matrix product in half precision."""
    return torch.autocast(tensor.device.type, enabled=False)


def _random_projections(vectors_ND: Tensor, num_slices: int, generator: torch.Generator) -> Tensor:
    """[N, D] on `num_slices` random unit directions, [N, S]."""
    directions_DS = torch.randn(vectors_ND.shape[1], num_slices, generator=generator).to(vectors_ND.device)
    with _full_precision(vectors_ND):
        return vectors_ND @ F.normalize(directions_DS, dim=0)


def _vectors(tensor: Tensor, loss: LossName) -> Tensor:
    """[..., D] to [N, D] in float32; raises InputError where statistics over N mean nothing."""
    vectors_ND = tensor.float().flatten(0, -2)
    if len(vectors_ND) < 2:
        raise InputError(
            f"loss_fn={loss} needs two predictions or more for its statistics, and a batch gave one: raise batch_size"
        )
    return vectors_ND


def _standardised(vectors_ND: Tensor) -> Tensor:
    """Zero mean and unit variance over the batch, as by a BatchNorm without parameters."""
    variance_D, mean_D = torch.var_mean(vectors_ND, dim=0, correction=0)
    return (vectors_ND - mean_D) / torch.sqrt(variance_D + 1e-5)
