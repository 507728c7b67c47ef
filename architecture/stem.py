"""The stem: what turns the pixels of a frame into patch tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from architecture.batch_norm import BatchNorm2d, BatchNorm3d
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


class FrameConv(nn.Conv3d):
    """A convolution inside frames, with the weights [D, C, 1, K, K] of one over time of length 1.

    As a 2-D convolution over frames as a batch it is several times as fast as that one, in bfloat16 above all; its
    weights keep their shape, which those of earlier runs have.
    """

    def __init__(self, channels: int, dim: int, size: int, stride: int = 1) -> None:
        super().__init__(channels, dim, (1, size, size), (1, stride, stride), (0, size // 2, size // 2), bias=False)

    def forward(self, frames_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, D, H', W']."""
        return F.conv2d(frames_NCHW, self.weight[:, :, 0], None, self.stride[1:], self.padding[1:])


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
        checkpointing: whether training keeps the video alone and computes the convolutions once more in backward; the
            running statistics move once.
        channels: of the video.
    """

    def __init__(
        self,
        patch_size: int,
        dim: int,
        *,
        temporal: bool,
        batchnorm_momentum: float,
        checkpointing: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.cells, self.checkpointing = patch_size // CONV_STEM_STRIDE, checkpointing
        self.layouts = {"project.weight": Layout("patch_in", 192)}

        def conv(channels: int, dim: int, size: int, stride: int = 1) -> nn.Sequential:
            norm = BatchNorm2d(dim, momentum=batchnorm_momentum)
            return nn.Sequential(FrameConv(channels, dim, size, stride), norm, nn.ReLU(inplace=True))

        def over_time(dim: int) -> nn.Module:
            return _over_time(dim, batchnorm_momentum) if temporal else nn.Identity()

        self.layers = nn.Sequential(
            conv(channels, 64, 7, stride=2),
            over_time(64),
            nn.MaxPool2d(3, stride=2, padding=1),
            conv(64, 64, 1),
            conv(64, 192, 3),
            over_time(192),
            nn.MaxPool2d(3, stride=1, padding=1),
        )
        self.project = nn.Linear(192 * self.cells**2, dim)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to patches [B, T, P, D]."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            contexts = lambda: (nullcontext(), keeping_statistics(self.layers))  # noqa: E731 (that is its interface)
            features: Tensor = checkpoint(self._convolved, video_BTCHW, use_reentrant=False, context_fn=contexts)
        else:
            features = self._convolved(video_BTCHW)
        patches_BTPD: Tensor = self.project(patchify(features, self.cells))
        return patches_BTPD

    def _convolved(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to features [B, T, 192, H', W']."""
        # Channels last: what convolutions, norms and pools are fast with.
        frames = video_BTCHW.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        units = video_BTCHW.shape[:2]
        for layer in self.layers:
            if isinstance(layer, nn.Sequential) and not isinstance(layer[0], FrameConv):
                video_BCTHW = frames.unflatten(0, units).transpose(1, 2)
                frames = layer(video_BCTHW).transpose(1, 2).flatten(0, 1)
            else:
                frames = layer(frames)
        features: Tensor = frames.unflatten(0, units)
        return features


def _over_time(dim: int, batchnorm_momentum: float) -> nn.Sequential:
    """A convolution over 3 frames with BatchNorm and ReLU: [B, D, T, H, W] to the same shape."""
    conv = nn.Conv3d(dim, dim, (3, 1, 1), padding=(1, 0, 0), bias=False)
    return nn.Sequential(conv, BatchNorm3d(dim, momentum=batchnorm_momentum), nn.ReLU(inplace=True))


@contextmanager
def keeping_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, BatchNorms in training mode leave their running statistics as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    counts = [cast(Tensor, norm.num_batches_tracked).clone() for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # and not without statistics: a checkpoint must meet the same tensors again
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            cast(Tensor, norm.num_batches_tracked).copy_(count)


def build_stem(
    kind: str, patch_size: int, dim: int, temporal: bool, batchnorm_momentum: float, checkpointing: bool = False
) -> nn.Module:
    """The stem that a config asks for: [B, T, C, H, W] to patches [B, T, P, dim], row-major inside a frame.

    Args:
        kind: `linear` or `cnn`.
        patch_size: side of a patch, pixels; for `cnn` a multiple of `CONV_STEM_STRIDE`.
        dim: width of the patch tokens.
        temporal: whether `cnn` convolves over time, which leaks between frames.
        batchnorm_momentum: of `cnn`.
        checkpointing: of `cnn`.
    """
    if kind == "linear":
        return PatchStem(patch_size, dim)
    return ConvStem(
        patch_size, dim, temporal=temporal, batchnorm_momentum=batchnorm_momentum, checkpointing=checkpointing
    )
