"""Prediction losses and regularisers against collapse: pure functions of tensors, computed in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def summary_target(summaries: Tensor) -> Tensor:
    """Summaries as other units predict them: detached, standardised over the batch, then layer-normalised, float32.

    A layer norm alone leaves what all summaries have in common, which soon is most of them: predicting it is easy
    and teaches nothing (measured: up and side fall to 0.01 within 200 steps while kNN stays at its floor).

    Args:
        summaries: [..., D].
    """
    summaries = summaries.detach().float()
    mean_D, std_D = summaries.flatten(0, -2).mean(dim=0), summaries.flatten(0, -2).std(dim=0, correction=0)
    return F.layer_norm((summaries - mean_D) / (std_D + 1e-5), summaries.shape[-1:])


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


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over all elements, in float32.

    Args:
        prediction: [..., D].
        target: of the same shape.
    """
    return F.mse_loss(prediction.float(), target.float())


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
    with torch.autocast(vectors_ND.device.type, enabled=False):  # it would take the product in bf16
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
    vectors_ND = vectors_ND.float()
    directions_DS = torch.randn(vectors_ND.shape[1], num_slices, generator=generator).to(vectors_ND.device)
    with torch.autocast(vectors_ND.device.type, enabled=False):  # it would take the product in bf16
        projected_NS = vectors_ND @ F.normalize(directions_DS, dim=0)
    knots_K = torch.linspace(0, 3, 17, device=vectors_ND.device)
    normal_K = torch.exp(-knots_K.square() / 2)
    angles_NSK = projected_NS[..., None] * knots_K
    distance_SK = (angles_NSK.cos().mean(dim=0) - normal_K).square() + angles_NSK.sin().mean(dim=0).square()
    statistic_S = 2 * len(vectors_ND) * torch.trapezoid(distance_SK * normal_K, knots_K, dim=-1)
    return statistic_S.mean()
