"""A joint space-time transformer: all tubelets of a window see each other. ViT for video, and with t = 1 for images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from architecture.encoder import Features, Tokens
from architecture.geometry import tubelet_grid
from architecture.layouts import Layout
from architecture.positions import FixedPositions
from architecture.tubelets import take, to_tubelets
from architecture.vit_blocks import MLP, Norm, ViTBlock, init_token, init_xavier, make_norm


@dataclass(frozen=True)
class JointTokens:
    """What a joint transformer makes of its tokens, after its last norm."""

    cls_B1D: Tensor | None
    """The CLS token, where there is one."""
    tokens_BKD: Tensor
    """The tokens of the tubelets that were shown, in the order in which they came."""
    extra_BLD: Tensor | None = None
    """The tokens that stood beside them, where some did."""


class JointTransformer(nn.Module):
    """A ViT over tubelets (Dosovitskiy et al., 2021, arXiv 2010.11929; Arnab et al., 2021, arXiv 2103.15691).

    The encoder of VideoMAE (Tong et al., 2022, arXiv 2203.12602) and OmniMAE (Girdhar et al., 2023, arXiv 2206.08356),
    and with tubelets of one frame that of MAE (He et al., 2022, arXiv 2111.06377) and Voltron (Karamcheti et al., 2023,
    arXiv 2302.12766). Attention maps are not kept.

    An encoder of a single level. Its features are the mean of its tokens or its CLS token, after the last norm; its
    tokens are the tubelets, by time, row and column.

    Args:
        level: the name that its features get.
        frames: of a window; it takes shorter ones, too: an image (one frame) or any multiple of `tubelet`.
        frame_size: height and width of a frame, pixels, multiples of `patch_size`.
        patch_size: side of a tubelet, pixels.
        tubelet: frames of a tubelet.
        dim: width of the tokens.
        layers: transformer blocks.
        heads: attention heads.
        mlp_dim: hidden width of a block's MLP.
        positions: `1d`, `2d` or `3d`: see `FixedPositions`.
        cls_token: whether a CLS token stands before the others.
        features: `mean` of the tubelets' tokens, or `cls`.
        norm: `layer` or `rms`.
        mlp: `gelu` or `swiglu`.
        qkv_bias: whether queries, keys and values have a bias.
        layer_scale: initial factor of what a branch adds; None: without LayerScale.
        drop_path: chance to skip a branch of the last block in training; of block l of L it is l / L of it.
    """

    def __init__(
        self,
        level: str,
        *,
        frames: int,
        frame_size: tuple[int, int],
        patch_size: int,
        tubelet: int,
        dim: int,
        layers: int,
        heads: int,
        mlp_dim: int,
        positions: Literal["1d", "2d", "3d"] = "3d",
        cls_token: bool = False,
        features: Literal["mean", "cls"] = "mean",
        norm: Norm = "layer",
        mlp: MLP = "gelu",
        qkv_bias: bool = True,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.level, self.dim, self.features = level, dim, features
        self.patch_size, self.tubelet = patch_size, tubelet
        self.grid = tubelet_grid(frames, frame_size, tubelet, patch_size)
        numbers = 3 * tubelet * patch_size**2
        self.layouts = {"embedding.weight": Layout("patch_in", 3 * tubelet)}
        self.embedding = nn.Linear(numbers, dim)
        self.positions = FixedPositions(self.grid, dim, positions)
        self.cls_D = nn.Parameter(torch.zeros(dim)) if cls_token else None
        self.blocks = nn.ModuleList(
            ViTBlock(
                dim,
                heads,
                mlp_dim,
                norm=norm,
                mlp=mlp,
                qkv_bias=qkv_bias,
                layer_scale=layer_scale,
                skip=drop_path * number / layers,
            )
            for number in range(1, layers + 1)
        )
        self.norm = make_norm(norm, dim)
        self.apply(init_xavier)
        if self.cls_D is not None:
            init_token(self.cls_D)

    def forward(self, video_BTCHW: Tensor) -> Features:
        """Normalised windows [B, T, C, H, W] to {level: [B, 1, dim]}."""
        return self.features_and_tokens(video_BTCHW)[0]

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features {level: [B, 1, dim]}, and the tubelets' tokens {level: [B, 1, N, dim]}."""
        encoded = self.encode(self.embed(video_BTCHW))
        mean_B1D = encoded.tokens_BKD.mean(dim=1, keepdim=True)
        features_B1D = encoded.cls_B1D if self.features == "cls" else mean_B1D
        assert features_B1D is not None
        return {self.level: features_B1D}, {self.level: encoded.tokens_BKD[:, None]}

    def embed(self, video_BTCHW: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """The tokens of tubelets, positions included, before anything mixes them.

        Args:
            video_BTCHW: normalised windows.
            keep_BK: the numbers of the tubelets that are shown; nothing is computed for the others. None: all.

        Returns:
            [B, K, dim], or without `keep_BK` [B, N, dim].
        """
        tubelets_BKD = to_tubelets(video_BTCHW, self.tubelet, self.patch_size)
        if keep_BK is not None:
            tubelets_BKD = take(tubelets_BKD, keep_BK)
        embedded_BKD: Tensor = self.positions(self.embedding(tubelets_BKD), keep_BK)
        return embedded_BKD

    def encode(
        self, tokens_BKD: Tensor, extra_BLD: Tensor | None = None, extra_shown_BL: Tensor | None = None
    ) -> JointTokens:
        """Lets tokens see each other.

        Args:
            tokens_BKD: of `embed`, or with something added to them (what frame or what modality they are of).
            extra_BLD: tokens of another kind that stand beside them, such as those of a caption.
            extra_shown_BL: bool, False for padded ones, which nobody sees. None: all are seen.
        """
        before = [] if self.cls_D is None else [self.cls_D.to(tokens_BKD.dtype).expand(tokens_BKD.shape[0], 1, -1)]
        after = [] if extra_BLD is None else [extra_BLD.to(tokens_BKD.dtype)]
        tokens = torch.cat([*before, tokens_BKD, *after], dim=1) if before or after else tokens_BKD
        first, kept = len(before), tokens_BKD.shape[1]
        shown = None if extra_shown_BL is None else _shown_keys(extra_shown_BL, first + kept)
        for block in self.blocks:
            tokens = block(tokens, shown)
        tokens = self.norm(tokens)
        return JointTokens(
            tokens[:, :1] if before else None,
            tokens[:, first : first + kept],
            tokens[:, first + kept :] if after else None,
        )


def _shown_keys(extra_shown_BL: Tensor, others: int) -> Tensor:
    """[B, 1, 1, others + L]: as keys, the first ones are seen by all, and of the extra ones those that are shown."""
    return nn.functional.pad(extra_shown_BL, (others, 0), value=True)[:, None, None]
