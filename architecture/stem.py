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
    """A linear projection of each patch (ViT, Dosovitskiy et al., 2021, arXiv 2010.11929).

    Each patch is layer-normalised first, as in Dual PatchNorm (Kumar et al., 2023, arXiv 2302.01327), which takes the
    light of the scene out. `eps` is the variance of normalised pixels as a whole: patches with much less hold texture
    and noise rather than things, and are left weak instead of being blown up.
    """

    def __init__(self, patch_size: int, dim: int, channels: int = 3, eps: float = 1.0) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.norm = nn.LayerNorm(channels * patch_size**2, eps=eps, elementwise_affine=False)
        self.project = nn.Linear(channels * patch_size**2, dim)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to patches [B, T, P, D]."""
        patches: Tensor = self.project(self.norm(patchify(video_BTCHW, self.patch_size)))
        return patches
