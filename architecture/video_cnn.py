"""Convolutional baselines: torchvision's S3D and R(2+1)D-18, without their classifiers."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from architecture.encoder import Features, Tokens

VideoCNNName = Literal["s3d", "r2plus1d_18"]
FEATURE_DIM: dict[VideoCNNName, int] = {"s3d": 1024, "r2plus1d_18": 512}
"""Width of the features that each network gives."""
CLASSIFIER = {"s3d": "classifier", "r2plus1d_18": "fc"}
"""The name that torchvision gives to each network's classifier."""


class VideoCNN(nn.Module):
    """S3D (Xie et al., 2018, arXiv 1712.04851) or R(2+1)D-18 (Tran et al., 2018, arXiv 1711.11248).

    The features are the mean over all that is left of time and space, so that frames of any size will do: S3D's own
    average slides over a grid of 2 x 7 x 7, for which frames need 224 pixels. Its last pooling, which would leave
    nothing of a single place, rounds up here; for the published 64 frames of 224 pixels that changes nothing.
    Windows need `geometry.MIN_FRAMES`.

    torchvision's weights expect pixels normalised with mean [0.43216, 0.394666, 0.37645] and standard deviation
    [0.22803, 0.22145, 0.216989].

    Args:
        name: which network.
        level: the name that its features get.
        batchnorm_momentum: share of a new batch in the running statistics. torchvision's S3D has 0.001, with which
            they settle in thousands of steps.
    """

    def __init__(self, name: VideoCNNName, level: str, batchnorm_momentum: float) -> None:
        from torchvision.models import video  # its import takes seconds, and most runs do without it

        super().__init__()
        self.level = level
        self.dim = FEATURE_DIM[name]
        self.classifier_name = CLASSIFIER[name]
        self.network: nn.Module = video.s3d() if name == "s3d" else video.r2plus1d_18()
        setattr(self.network, self.classifier_name, nn.Identity())
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = batchnorm_momentum
            elif isinstance(module, nn.MaxPool3d) and module.padding == (0, 0, 0):
                module.ceil_mode = True

    def forward(self, video_BTCHW: Tensor) -> Features:
        """Normalised windows [B, T, C, H, W] to {level: [B, 1, dim]}."""
        return {self.level: _pooled(self._map(video_BTCHW))}

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features, and all places of the last feature map: {level: [B, 1, N, dim]}, by time, row and column."""
        map_BDTHW = self._map(video_BTCHW)
        return {self.level: _pooled(map_BDTHW)}, {self.level: map_BDTHW.flatten(2).mT[:, None]}

    def _map(self, video_BTCHW: Tensor) -> Tensor:
        """The last feature map [B, dim, T, H, W]: the network without its average and its classifier."""
        maps = video_BTCHW.transpose(1, 2)
        for name, part in self.network.named_children():
            if name == "avgpool":
                break
            maps = part(maps)
        return maps


def _pooled(map_BDTHW: Tensor) -> Tensor:
    """The mean over time and space: [B, 1, dim]."""
    return F.adaptive_avg_pool3d(map_BDTHW, 1).flatten(1)[:, None]
