"""The stem: what turns the pixels of a frame into patch tokens."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn


def patchify(video_BTCHW: Tensor, patch_size: int) -> Tensor:
    """Cuts every frame into square patches, in row-major order.

    Returns:
        [B, T, P, patch_size * patch_size * C], pixels of a patch by row, column, channel.
    """
    return rearrange(video_BTCHW, "b t c (h p) (w q) -> b t (h w) (p q c)", p=patch_size, q=patch_size)


class PatchStem(nn.Module):
    """A linear projection of each patch (ViT, Dosovitskiy et al., 2021, arXiv 2010.11929)."""

    def __init__(self, patch_size: int, dim: int, channels: int = 3) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.project = nn.Linear(channels * patch_size**2, dim)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to patches [B, T, P, D]."""
        patches: Tensor = self.project(patchify(video_BTCHW, self.patch_size))
        return patches
