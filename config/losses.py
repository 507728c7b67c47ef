"""The keys of prediction losses and of regularisers against collapse."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.section import AboveZero, NonNegative, Positive, Section


class SmoothL1Params(Section):
    """`loss_params` of smooth_l1."""

    beta: AboveZero = Field(default=1.0, description="smooth_l1: error at which the square turns into a line")


class CrossEntropyParams(Section):
    """`loss_params` of ce."""

    prediction_temperature: AboveZero = Field(default=1.0, description="ce: of the predicted softmax")
    target_temperature: AboveZero = Field(default=0.5, description="ce: of the target's softmax")
    centre_momentum: float | None = Field(
        default=None, ge=0, lt=1, description="ce: of the running mean that is taken off targets; null: none is"
    )


class VICRegParams(Section):
    """`loss_params` of vicreg."""

    invariance: NonNegative = Field(default=25.0, description="vicreg: weight of the mean squared error")
    variance: NonNegative = Field(default=25.0, description="vicreg: weight of the predictions' variance term")
    covariance: NonNegative = Field(default=1.0, description="vicreg: weight of the predictions' covariance term")


class BarlowParams(Section):
    """`loss_params` of barlow."""

    redundancy: NonNegative = Field(default=0.005, description="barlow: weight of the off-diagonal correlations")


class NoParams(Section):
    """`loss_params` of mse and cs: none."""


LossName = Literal["mse", "smooth_l1", "cs", "ce", "vicreg", "barlow"]
LOSS_PARAMS: dict[LossName, type[Section]] = {
    "mse": NoParams,
    "smooth_l1": SmoothL1Params,
    "cs": NoParams,
    "ce": CrossEntropyParams,
    "vicreg": VICRegParams,
    "barlow": BarlowParams,
}


class _Projected(Section):
    """What the regularisers have in common."""

    proj_dim: Positive = Field(description="width of the BatchNorm projector")
    min_vectors: Positive = Field(description="vectors per statistic; a smaller batch is filled up with recent ones")


class VICReg(_Projected):
    """VICReg's variance and covariance terms on the projected summaries."""

    name: Literal["vicreg"]
    variance: NonNegative = Field(description="weight of the variance term")
    covariance: NonNegative = Field(description="weight of the covariance term")


class SIGReg(_Projected):
    """SIGReg: random projections of the projected summaries are pulled to N(0, 1)."""

    name: Literal["sigreg"]
    weight: NonNegative = Field(description="weight of the statistic, which grows with the number of vectors")
    num_slices: Annotated[int, Field(ge=256)] = Field(description="random directions, redrawn every step")


class VISReg(_Projected):
    """VISReg: scale by the variance of each dimension, shape by sliced Wasserstein distances to N(0, 1)."""

    name: Literal["visreg"]
    scale: NonNegative = Field(description="weight of the scale term")
    shape: NonNegative = Field(description="weight of the shape term")
    centre: NonNegative = Field(description="weight of the squared mean")
    num_slices: Annotated[int, Field(ge=256)] = Field(description="random directions, redrawn every step")


class NoRegularizer(Section):
    """No guard against collapse."""

    name: Literal["none"]


GUARD_WEIGHTS = {"variance", "covariance", "weight", "scale", "shape", "centre"}
"""The keys of regularisers that are weights of terms."""
