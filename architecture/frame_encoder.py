"""Encoders that see frames one by one: a network of pictures on every frame of a window."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from architecture.batch_norm import of_whole_batches
from architecture.encoder import Features, Tokens
from architecture.joint_transformer import JointTransformer

RESNET_DIM = 2048
"""Width of a ResNet-50's features."""


class FrameEncoder(nn.Module):
    """A network of single frames as an encoder of windows: the mean of what it makes of the frames.

    Args:
        network: makes {level: [B, 1, D]} and {level: [B, 1, N, D]} of windows of one frame.
        dim: D.
    """

    def __init__(self, network: JointTransformer | FrameResNet, dim: int) -> None:
        super().__init__()
        self.network, self.level, self.dim = network, network.level, dim

    def frames(self, video_BTCHW: Tensor) -> Tensor:
        """The features of every frame: normalised windows [B, T, C, H, W] to [B, T, D]."""
        features_BT1D: Tensor = self.network(video_BTCHW.flatten(0, 1)[:, None])[self.level]
        features_BTD: Tensor = features_BT1D.unflatten(0, video_BTCHW.shape[:2])[:, :, 0]
        return features_BTD

    def forward(self, video_BTCHW: Tensor) -> Features:
        """Normalised windows [B, T, C, H, W] to {level: [B, 1, D]}."""
        return {self.level: self.frames(video_BTCHW).mean(dim=1, keepdim=True)}

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features, and the tokens of all frames: {level: [B, 1, T * N, D]}, by time, row and column."""
        size = video_BTCHW.shape[:2]
        features, tokens = self.network.features_and_tokens(video_BTCHW.flatten(0, 1)[:, None])
        features_BTD = features[self.level].unflatten(0, size)[:, :, 0]
        tokens_BTND = tokens[self.level].unflatten(0, size)[:, :, 0]
        return {self.level: features_BTD.mean(dim=1, keepdim=True)}, {self.level: tokens_BTND.flatten(1, 2)[:, None]}


class FrameResNet(nn.Module):
    """torchvision's ResNet-50 (He et al., 2016, arXiv 1512.03385) without its classifier, on windows of one frame.

    Args:
        level: the name that its features get.
        batchnorm_momentum: share of a new batch in the running statistics.
    """

    def __init__(self, level: str, batchnorm_momentum: float) -> None:
        from torchvision.models import resnet50  # its import takes seconds, and most runs do without it

        super().__init__()
        self.level = level
        network = of_whole_batches(resnet50())
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        self.layers = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in names))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = batchnorm_momentum

    def forward(self, video_BTCHW: Tensor) -> Features:
        """Normalised frames [B, 1, C, H, W] to {level: [B, 1, 2048]}."""
        return self.features_and_tokens(video_BTCHW)[0]

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The mean of the last feature map, and its places {level: [B, 1, N, 2048]}, by row and column."""
        tokens_BND = self.layers(video_BTCHW[:, 0]).flatten(2).mT
        return {self.level: tokens_BND.mean(dim=1, keepdim=True)}, {self.level: tokens_BND[:, None]}
