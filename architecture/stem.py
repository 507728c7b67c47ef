"""The stem: what turns the pixels of a frame into patch tokens."""

from __future__ import annotations

from functools import partial

from einops import rearrange
from torch import Tensor, nn

from architecture.batch_norm import BatchNorm3d
from architecture.geometry import CONV_STEM_STRIDE
from architecture.layouts import Layout


def patchify(video_BTCHW: Tensor, patch_size: int) -> Tensor:
    """Cuts every frame into square patches, in row-major order.

    Returns:
        [B, T, P, patch_size * patch_size * C], pixels of a patch by row, column, channel.
    """
    return rearrange(video_BTCHW, "b t c (h p) (w q) -> b t (h w) (p q c)", p=patch_size, q=patch_size)


def unpatchify(patches_BTPD: Tensor, rows: int, patch_size: int) -> Tensor:
    """Inverts `patchify`: [B, T, P, D] to [B, T, C, H, W].

    Args:
        patches_BTPD: pixels of patches, in row-major order.
        rows: of patches in a frame.
        patch_size: side of a patch, pixels.
    """
    sizes = {"h": rows, "p": patch_size, "q": patch_size}
    return rearrange(patches_BTPD, "b t (h w) (p q c) -> b t c (h p) (w q)", **sizes)


class PatchStem(nn.Module):
    """A linear projection of each patch (ViT, Dosovitskiy et al., 2021, arXiv 2010.11929).

    Each patch is layer-normalised first, as in Dual PatchNorm (Kumar et al., 2023, arXiv 2302.01327), which takes the
    light of the scene out. `eps` is the variance of normalised pixels as a whole: patches with much less hold texture
    and noise rather than things, and are left weak instead of being blown up.
    """

    def __init__(self, patch_size: int, dim: int, channels: int = 3, eps: float = 1.0) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.layouts = {"project.weight": Layout("patch_in", channels)}
        self.norm = nn.LayerNorm(channels * patch_size**2, eps=eps, elementwise_affine=False)
        self.project = nn.Linear(channels * patch_size**2, dim)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to patches [B, T, P, D]."""
        patches: Tensor = self.project(self.norm(patchify(video_BTCHW, self.patch_size)))
        return patches


class ConvStem(nn.Module):
    """The first layers of S3D (Xie et al., 2018, arXiv 1712.04851), then a linear projection of each patch.

    A 7 x 7 convolution of stride 2, a pool of stride 2, convolutions of 1 x 1 and 3 x 3, each with BatchNorm and ReLU,
    and a pool which, unlike S3D's, keeps the size: a stride of `CONV_STEM_STRIDE` pixels altogether. A patch is what
    the feature map has in place of a linear stem's patch, but it has also seen the pixels around it.

    The convolutions are spatial, so that no frame sees another, but for the statistics of BatchNorm in training.

    Args:
        patch_size: side of a patch, pixels; a multiple of `CONV_STEM_STRIDE`.
        dim: width of the patch tokens.
        temporal: whether a convolution over 3 frames follows those over space, as in S3D: (2+1)D. It keeps the number
            of frames, and lets every frame see its neighbours.
        batchnorm_momentum: share of a new batch in BatchNorm's running statistics. S3D's own 0.001 takes thousands of
            steps to forget the statistics that it starts from.
        channels: of the video.
    """

    def __init__(
        self, patch_size: int, dim: int, *, temporal: bool, batchnorm_momentum: float, channels: int = 3
    ) -> None:
        from torchvision.ops import Conv3dNormActivation  # its import takes seconds, and most runs do without it

        super().__init__()
        self.cells = patch_size // CONV_STEM_STRIDE
        self.layouts = {"project.weight": Layout("patch_in", 192)}
        conv = partial(Conv3dNormActivation, norm_layer=partial(BatchNorm3d, momentum=batchnorm_momentum))
        over_time = partial(conv, kernel_size=(3, 1, 1)) if temporal else lambda *_: nn.Identity()
        self.layers = nn.Sequential(
            conv(channels, 64, kernel_size=(1, 7, 7), stride=(1, 2, 2)),
            over_time(64, 64),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            conv(64, 64, kernel_size=1),
            conv(64, 192, kernel_size=(1, 3, 3)),
            over_time(192, 192),
            nn.MaxPool3d((1, 3, 3), stride=1, padding=(0, 1, 1)),
        )
        self.project = nn.Linear(192 * self.cells**2, dim)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to patches [B, T, P, D]."""
        features_BCTHW = self.layers(video_BTCHW.transpose(1, 2))
        patches: Tensor = self.project(patchify(features_BCTHW.transpose(1, 2), self.cells))
        return patches


def build_stem(kind: str, patch_size: int, dim: int, temporal: bool, batchnorm_momentum: float) -> nn.Module:
    """The stem that a config asks for: [B, T, C, H, W] to patches [B, T, P, dim], row-major inside a frame.

    Args:
        kind: `linear` or `cnn`.
        patch_size: side of a patch, pixels; for `cnn` a multiple of `CONV_STEM_STRIDE`.
        dim: width of the patch tokens.
        temporal: whether `cnn` convolves over time, which leaks between frames.
        batchnorm_momentum: of `cnn`.
    """
    if kind == "linear":
        return PatchStem(patch_size, dim)
    return ConvStem(patch_size, dim, temporal=temporal, batchnorm_momentum=batchnorm_momentum)
