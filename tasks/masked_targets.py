"""What a masked autoencoder predicts: the pixels of patches, each normalised by itself; and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from architecture.tubelets import to_tubelets

Per = Literal["patch", "patch_channel"]
EPS = 1e-6  # added to the variance of normalised pixels


@dataclass(frozen=True)
class PixelTargets:
    """How the pixels of a window become targets, and predictions pixels again. All of it in float32.

    MAE (He et al., 2022, arXiv 2111.06377) normalises a patch by its mean and variance, over pixels and channels;
    VideoMAE and OmniMAE (arXiv 2203.12602, 2206.08356) normalise every channel of a tubelet by itself, on pixels whose
    normalisation was undone. The variance is the unbiased one, plus 1e-6.
    """

    tubelet: int
    """Frames of a tubelet."""
    patch_size: int
    """Its side, pixels."""
    per: Per
    """What is normalised by itself: a `patch`, all channels together, or each channel of it (`patch_channel`)."""
    undone: tuple[Sequence[float], Sequence[float]] | None = None
    """Mean and standard deviation per channel of the normalisation that is undone first; None: it is left."""

    def pixels(self, video_BTCHW: Tensor) -> Tensor:
        """The pixels of tubelets that are normalised: [B, N, P, C], see `to_tubelets`.

        Args:
            video_BTCHW: normalised windows.
        """
        video_BTCHW = video_BTCHW.detach().float()
        if self.undone is not None:
            mean, std = (video_BTCHW.new_tensor(values).view(-1, 1, 1) for values in self.undone)
            video_BTCHW = video_BTCHW * std + mean
        tubelets_BND = to_tubelets(video_BTCHW, self.tubelet, self.patch_size)
        pixels_BNPC: Tensor = tubelets_BND.unflatten(-1, (-1, video_BTCHW.shape[2]))
        return pixels_BNPC

    def of(self, video_BTCHW: Tensor) -> Tensor:
        """The targets [B, N, P * C] of normalised windows [B, T, C, H, W]."""
        pixels_BNPC = self.pixels(video_BTCHW)
        variance, mean = self._statistics(pixels_BNPC)
        targets_BND: Tensor = ((pixels_BNPC - mean) / (variance + EPS).sqrt()).flatten(2)
        return targets_BND

    def inverted(self, targets_BND: Tensor, video_BTCHW: Tensor) -> Tensor:
        """Targets, or predictions of them, with the mean and the contrast of the true patches.

        Args:
            targets_BND: [B, N, P * C].
            video_BTCHW: the windows that they are of.

        Returns:
            [B, N, P * C], normalised pixels again.
        """
        pixels_BNPC = self.pixels(video_BTCHW)
        variance, mean = self._statistics(pixels_BNPC)
        found_BNPC = targets_BND.float().unflatten(-1, pixels_BNPC.shape[2:]) * (variance + EPS).sqrt() + mean
        if self.undone is not None:
            undone_mean, undone_std = (found_BNPC.new_tensor(values) for values in self.undone)
            found_BNPC = (found_BNPC - undone_mean) / undone_std
        inverted_BND: Tensor = found_BNPC.flatten(2)
        return inverted_BND

    def _statistics(self, pixels_BNPC: Tensor) -> tuple[Tensor, Tensor]:
        """Unbiased variance and mean, of a shape that broadcasts."""
        dims = (-2, -1) if self.per == "patch" else (-2,)
        return torch.var_mean(pixels_BNPC, dim=dims, correction=1, keepdim=True)


def masked_loss(predicted_BMD: Tensor, target_BMD: Tensor) -> Tensor:
    """The mean squared error of a hidden token, and its mean over the hidden tokens of the batch; in float32.

    Args:
        predicted_BMD: of the hidden tokens alone.
        target_BMD: of the same tokens.
    """
    return (predicted_BMD.float() - target_BMD.float()).square().mean(dim=-1).mean()
