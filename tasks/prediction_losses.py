"""The prediction losses that a config can name: the keys of each, and which function of `losses.py` it computes.

A new loss is a class here and its name in `LOSSES`. Nothing heavy is imported until a loss is computed, since reading
a config needs this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field

from config.errors import InputError
from config.section import AboveZero, NonNegative, Section

if TYPE_CHECKING:
    from torch import Tensor


class PredictionLoss(Section, ABC):
    """A prediction loss and its numbers; every subclass has a `name` as well."""

    scale_free: ClassVar[bool] = False
    """Whether the loss leaves the length of a prediction free, so that its direction alone can be judged."""
    of_statistics: ClassVar[bool] = False
    """Whether the loss needs statistics over a batch, and with them two vectors or more."""

    def __call__(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None = None) -> Tensor:
        """The loss, a float32 scalar.

        Args:
            prediction: [..., D].
            target: of the same shape.
            centre_D: running mean of targets, for losses with a `momentum_of_centre`; the others ignore it.

        Raises:
            ValueError: the shapes differ; broadcasting would hide a mistake.
            InputError: a loss of statistics is given a single vector.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
        if self.of_statistics and prediction.shape[:-1].numel() < 2:
            name = type(self).model_fields["name"].annotation.__args__[0]  # type: ignore[union-attr]
            raise InputError(
                f"hierarchical.loss.name={name} needs two predictions or more for its statistics, and a batch gave "
                "one: raise batch_size"
            )
        return self.compute(prediction, target, centre_D)

    @abstractmethod
    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """The loss of a prediction and a target of the same shape; see `__call__`."""

    @property
    def momentum_of_centre(self) -> float | None:
        """Momentum of the running mean that the loss takes off its targets; None: it takes none off."""
        return None


class MSE(PredictionLoss):
    """Mean squared error."""

    name: Literal["mse"]

    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """See `losses.mse`."""
        from losses import mse

        return mse(prediction, target)


class SmoothL1(PredictionLoss):
    """Squared error for small errors, absolute error for large ones."""

    name: Literal["smooth_l1"]
    beta: AboveZero = Field(default=1.0, description="error at which the square turns into a line")

    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """See `losses.smooth_l1`."""
        from losses import smooth_l1

        return smooth_l1(prediction, target, self.beta)


class Cosine(PredictionLoss):
    """1 - cosine of the angle between prediction and target."""

    name: Literal["cs"]
    scale_free: ClassVar[bool] = True

    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """See `losses.cosine`."""
        from losses import cosine

        return cosine(prediction, target)


class CrossEntropy(PredictionLoss):
    """Cross-entropy of the softmaxes of prediction and target."""

    name: Literal["ce"]
    prediction_temperature: AboveZero = Field(default=1.0, description="temperature of the predicted softmax")
    target_temperature: AboveZero = Field(default=0.5, description="temperature of the target's softmax")
    centre_momentum: float | None = Field(
        default=None, ge=0, lt=1, description="momentum of the running mean that is taken off targets; null: none is"
    )

    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """See `losses.cross_entropy`."""
        from losses import cross_entropy

        return cross_entropy(prediction, target, self.prediction_temperature, self.target_temperature, centre_D)

    @property
    def momentum_of_centre(self) -> float | None:
        """The key `centre_momentum`."""
        return self.centre_momentum


class VICRegLoss(PredictionLoss):
    """Mean squared error with the variance and covariance terms of VICReg."""

    name: Literal["vicreg"]
    of_statistics: ClassVar[bool] = True
    invariance: NonNegative = Field(default=25.0, description="weight of the mean squared error")
    variance: NonNegative = Field(default=25.0, description="weight of the predictions' variance term")
    covariance: NonNegative = Field(default=1.0, description="weight of the predictions' covariance term")

    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """See `losses.vicreg`."""
        from losses import vicreg

        return vicreg(prediction, target, self.invariance, self.variance, self.covariance)


class Barlow(PredictionLoss):
    """Barlow Twins: the correlations of prediction and target are pulled to the identity."""

    name: Literal["barlow"]
    of_statistics: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True
    redundancy: NonNegative = Field(default=0.005, description="weight of the off-diagonal correlations")

    def compute(self, prediction: Tensor, target: Tensor, centre_D: Tensor | None) -> Tensor:
        """See `losses.barlow`."""
        from losses import barlow

        return barlow(prediction, target, self.redundancy)


LOSSES: tuple[type[PredictionLoss], ...] = (
    MSE,
    SmoothL1,
    Cosine,
    CrossEntropy,
    VICRegLoss,
    Barlow,
)

if TYPE_CHECKING:
    AnyLoss = PredictionLoss
else:
    AnyLoss = Annotated[Union[LOSSES], Field(discriminator="name")]  # noqa: UP007 (a table)
