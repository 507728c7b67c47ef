"""The numbers of `encoder: hierarchical`, whichever task trains it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.section import NonNegative, Positive, Section

WeightInit = Literal["torch", "lecun"]
_WEIGHT_INIT = (
    "initial weights of linear layers and convolutions: torch's own, which let the summaries of a video's units differ "
    "by a hundredth of their length, or LeCun's, which keep the variance"
)


class BackboneSettings(Section):
    """The numbers of the stem, which makes patch tokens; as a level of its own where `groups` lists `backbone`."""

    dim: Positive = Field(description="width of the patch tokens")
    checkpointing: bool = Field(
        default=False, description="training computes the stem `cnn` once more in backward instead of keeping it"
    )
    weight_init: WeightInit = Field(default="torch", description=_WEIGHT_INIT)
    pred_h_dim: Positive = Field(description="hidden width of the patches' predictors, where `groups` lists `backbone`")


class LevelSettings(Section):
    """The numbers of one level."""

    dim: Positive = Field(description="width of the level's tokens and summaries")
    layers: Positive = Field(description="number of transformer blocks")
    heads: Positive = Field(description="attention heads")
    head_dim: Positive = Field(description="width of one attention head")
    mlp_dim: Positive = Field(description="hidden width of the block's MLP")
    dropout: float = Field(ge=0, lt=1, description="dropout after attention and MLP")
    stochastic_depth: float = Field(
        default=0.0, ge=0, lt=1, description="chance to skip the last block of a unit; grows linearly from the first"
    )
    causal_mask: bool = Field(
        default=False, description="causal attention without CLS: every token predicts the next one"
    )
    checkpointing: bool = Field(
        default=False,
        description="training keeps the inputs of blocks alone, and computes each block once more in backward: a "
        "fraction of the memory for about a third more time",
    )
    weight_init: WeightInit = Field(default="torch", description=_WEIGHT_INIT)
    pred_h_dim: Positive = Field(description="hidden width of the level's predictors")


class HierarchySettings(Section):
    """The hierarchical encoder."""

    patch_size: Positive = Field(description="side of a square patch, pixels")
    frames_per_clip: Positive = Field(
        description="frames that `time` joins into one clip; without the level `clip`, a window is one clip"
    )
    position_embedding: Literal["learned", "sincos"] = Field(description="positions inside a unit")
    stem: Literal["linear", "cnn"] = Field(description="what makes patch tokens; `cnn`: convolutions inside a frame")
    temporal_stem: bool = Field(description="`cnn` also convolves over time; this leaks between frames")
    output_batchnorm: bool = Field(description="BatchNorm on the summaries of every level")
    interlevel_noise: NonNegative = Field(
        description="std of Gaussian noise on the layer-normalised input of a level, in training"
    )
    backbone: BackboneSettings
    space: LevelSettings
    time: LevelSettings
    clip: LevelSettings

    def level(self, name: str) -> LevelSettings:
        """The numbers of level `name`, which is not `backbone`."""
        section: LevelSettings = getattr(self, name)
        return section

    def numbers(self, name: str) -> LevelSettings | BackboneSettings:
        """The numbers of level `name`, `backbone` included."""
        section: LevelSettings | BackboneSettings = getattr(self, name)
        return section
