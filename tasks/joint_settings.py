"""The numbers of `encoder: joint`, whichever task trains it, and of the decoders of masked autoencoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.section import AboveZero, Positive, Section

Axes = Literal["1d", "2d", "3d"]


class BlockSettings(Section):
    """What blocks are made of, of the joint encoder and of masked decoders alike."""

    norm: Literal["layer", "rms"] = Field(default="layer", description="LayerNorm or RMSNorm")
    mlp: Literal["gelu", "swiglu"] = Field(
        default="gelu", description="swiglu: gated by SiLU, with half as many weights again for the same `mlp_dim`"
    )
    qkv_bias: bool = Field(default=True, description="whether queries, keys and values have a bias")
    layer_scale: AboveZero | None = Field(
        default=None, description="first factor of what a branch of a block adds; null: none"
    )


class JointSettings(BlockSettings):
    """The joint space-time transformer: a ViT in which all tubelets of a window see each other."""

    patch_size: Positive = Field(description="side of a tubelet, pixels")
    tubelet: Positive = Field(description="frames of a tubelet; windows of one frame are repeated until they fill it")
    dim: Positive = Field(description="width of the tokens; ViT-S 384, ViT-B 768")
    layers: Positive = Field(description="number of transformer blocks; ViT-S and ViT-B 12")
    heads: Positive = Field(description="attention heads, which share `dim` equally; ViT-S 6, ViT-B 12")
    mlp_dim: Positive = Field(description="hidden width of a block's MLP; in ViT 4 x `dim`")
    positions: Axes = Field(
        description="fixed sine-cosine positions, of the token's number in the window (1d, VideoMAE), of row and "
        "column (2d, MAE), or of time, row and column (3d)"
    )
    cls_token: bool = Field(default=False, description="whether a CLS token stands before the tubelets")
    features: Literal["mean", "cls"] = Field(
        default="mean", description="the vector of a window: the mean of its tubelets' tokens, or the CLS token"
    )
    drop_path: float = Field(
        default=0.0, ge=0, lt=1, description="chance to skip a branch of the last block; grows linearly from the first"
    )


class DecoderSettings(BlockSettings):
    """The decoder of a masked autoencoder, which is thrown away after the training."""

    dim: Positive = Field(description="width of the tokens")
    layers: Positive = Field(description="number of transformer blocks")
    heads: Positive = Field(description="attention heads, which share `dim` equally")
    mlp_dim: Positive = Field(description="hidden width of a block's MLP")
    positions: Axes = Field(description="fixed sine-cosine positions, as for the encoder")
