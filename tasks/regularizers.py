"""The regularisers that a config can name: the keys of each, and which functions of `losses.py` it computes.

A new regulariser is a class here and its name in `REGULARIZERS`. Nothing heavy is imported until one is computed, since
reading a config needs this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal, Union

from pydantic import Field

from config.section import NonNegative, Positive, Section

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Regularizer(Section, ABC):
    """A regulariser keeps the units of a level from all becoming the same; every subclass has a `name` as well."""

    @property
    @abstractmethod
    def is_active(self) -> bool:
        """Whether any term has a weight."""


class NoRegularizer(Regularizer):
    """No guard against collapse."""

    name: Literal["none"]

    @property
    def is_active(self) -> bool:
        """Never."""
        return False


class ProjectedRegularizer(Regularizer):
    """A regulariser that sees the units of a level through a projector."""

    proj_dim: Positive = Field(description="width of the BatchNorm projector")
    min_vectors: Positive = Field(description="vectors per statistic; a smaller batch is filled up with recent ones")

    @abstractmethod
    def terms(self, projected_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The weighted terms by name.

        Args:
            projected_ND: [N, proj_dim] float32, N >= 2.
            generator: on the CPU; draws random directions.
        """


class VICReg(ProjectedRegularizer):
    """VICReg's variance and covariance terms on the projected summaries."""

    name: Literal["vicreg"]
    variance: NonNegative = Field(description="weight of the variance term")
    covariance: NonNegative = Field(description="weight of the covariance term")

    @property
    def is_active(self) -> bool:
        """Whether any term has a weight."""
        return any((self.variance, self.covariance))

    def terms(self, projected_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `losses.variance_term` and `losses.covariance_term`."""
        from losses import covariance_term, variance_term

        return {
            "variance": self.variance * variance_term(projected_ND),
            "covariance": self.covariance * covariance_term(projected_ND),
        }


class SIGReg(ProjectedRegularizer):
    """SIGReg: random projections of the projected summaries are pulled to N(0, 1)."""

    name: Literal["sigreg"]
    weight: NonNegative = Field(description="weight of the statistic, which grows with the number of vectors")
    num_slices: Annotated[int, Field(ge=256)] = Field(description="random directions, redrawn every step")

    @property
    def is_active(self) -> bool:
        """Whether the term has a weight."""
        return self.weight > 0

    def terms(self, projected_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `losses.sigreg`."""
        from losses import sigreg

        return {"sigreg": self.weight * sigreg(projected_ND, self.num_slices, generator)}


class VISReg(ProjectedRegularizer):
    """VISReg: scale by the variance of each dimension, shape by sliced Wasserstein distances to N(0, 1)."""

    name: Literal["visreg"]
    scale: NonNegative = Field(description="weight of the scale term")
    shape: NonNegative = Field(description="weight of the shape term")
    centre: NonNegative = Field(description="weight of the squared mean")
    num_slices: Annotated[int, Field(ge=256)] = Field(description="random directions, redrawn every step")

    @property
    def is_active(self) -> bool:
        """Whether any term has a weight."""
        return any((self.scale, self.shape, self.centre))

    def terms(self, projected_ND: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `losses.visreg`."""
        from losses import visreg

        terms = visreg(projected_ND, self.num_slices, generator)
        return {
            "scale": self.scale * terms["scale"],
            "shape": self.shape * terms["shape"],
            "centre": self.centre * terms["centre"],
        }


REGULARIZERS: tuple[type[Regularizer], ...] = (
    VICReg,
    SIGReg,
    VISReg,
    NoRegularizer,
)

if TYPE_CHECKING:
    AnyRegularizer = Regularizer
else:
    AnyRegularizer = Annotated[Union[REGULARIZERS], Field(discriminator="name")]  # noqa: UP007 (a table)
