"""The base class of every mapping in a config, and the types of its values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LevelName = Literal["backbone", "space", "time", "clip"]

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareAboveZero = Annotated[float, Field(gt=0, le=1)]


def _ordered(values: list[float]) -> list[float]:
    """A range as it is; ValueError where its end lies before its start."""
    if values[0] > values[1]:
        raise ValueError(f"expected the least value first, got [{values[0]:g}, {values[1]:g}]")
    return values


_TWO = Field(min_length=2, max_length=2)
ShareRange = Annotated[list[ShareAboveZero], _TWO, AfterValidator(_ordered)]
AboveZeroRange = Annotated[list[AboveZero], _TWO, AfterValidator(_ordered)]


class Section(BaseModel):
    """A mapping of the config: unknown keys are errors, YAML types are used as they are, values stay fixed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
