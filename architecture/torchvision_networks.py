"""torchvision's video networks without their classifiers: S3D, R(2+1)D-18, MViT v2 S and Video Swin T."""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from architecture.batch_norm import of_whole_batches
from architecture.encoder import Features, Tokens
from architecture.swin_windows import give_small_windows_their_positions

TorchvisionName = Literal["s3d", "r2plus1d_18", "mvit_v2_s", "swin3d_t"]
FEATURE_DIM: dict[TorchvisionName, int] = {"s3d": 1024, "r2plus1d_18": 512, "mvit_v2_s": 768, "swin3d_t": 768}
"""Width of the features that each network gives."""
CLASSIFIER = {"s3d": "classifier", "r2plus1d_18": "fc", "mvit_v2_s": "head", "swin3d_t": "head"}
"""The name that torchvision gives to each network's classifier."""


class TorchvisionNetwork(nn.Module):
    """One of torchvision's video networks, as an encoder of a single level.

    S3D (Xie et al., 2018, arXiv 1712.04851), R(2+1)D-18 (Tran et al., 2018, arXiv 1711.11248), MViT v2 S (Li et al.,
    2022, arXiv 2112.01526) or Video Swin T (Liu et al., 2022, arXiv 2106.13230).

    The features are what the network gives its own classifier: MViT's class token; of the others, the mean over all
    that is left of time and space. The tokens are the places of the last feature map.

    Windows of any length (from `geometry.MIN_FRAMES` on) and frames of any size will do:

    * S3D's own average slides over a grid of 2 x 7 x 7, for which frames need 224 pixels. Its last pooling, which would
      leave nothing of a single place, rounds up here; for the published 64 frames of 224 pixels that changes nothing.
    * MViT's tables of relative positions are those of 16 frames of 224 pixels, whatever the frames: for others, they
      are interpolated in each forward pass, as its authors do.
    * Swin pads its maps. Windows of attention that a map does not fill take the positions of their own places, which
      torchvision confuses (see `swin_windows`); for frames of 224 pixels that changes nothing.

    The transformers skip blocks in training (stochastic depth), as often as torchvision does.

    Args:
        name: which network.
        level: the name that its features get.
        batchnorm_momentum: share of a new batch in the running statistics. torchvision's S3D has 0.001, with which
            they settle in thousands of steps. The transformers have none.
    """

    def __init__(self, name: TorchvisionName, level: str, batchnorm_momentum: float) -> None:
        from torchvision.models import video  # its import takes seconds, and most runs do without it

        super().__init__()
        self.name, self.level = name, level
        self.dim = FEATURE_DIM[name]
        self.classifier_name = CLASSIFIER[name]
        self.network: nn.Module = getattr(video, name)()
        setattr(self.network, self.classifier_name, nn.Identity())
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = batchnorm_momentum
            elif isinstance(module, nn.MaxPool3d) and module.padding == (0, 0, 0):
                module.ceil_mode = True
        of_whole_batches(self.network)
        if name == "swin3d_t":
            give_small_windows_their_positions(self.network)

    def forward(self, video_BTCHW: Tensor) -> Features:
        """Normalised windows [B, T, C, H, W] to {level: [B, 1, dim]}."""
        return {self.level: self._encode(video_BTCHW)[0][:, None]}

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features, and all places of the last feature map: {level: [B, 1, N, dim]}, by time, row and column."""
        features_BD, tokens_BND = self._encode(video_BTCHW)
        return {self.level: features_BD[:, None]}, {self.level: tokens_BND[:, None]}

    def _encode(self, video_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The features [B, dim] and the tokens [B, N, dim]."""
        if self.name == "mvit_v2_s":
            tokens_BND = _mvit_tokens(self.network, video_BTCHW)
            return tokens_BND[:, 0], tokens_BND[:, 1:]
        map_BDTHW = self._map(video_BTCHW)
        return F.adaptive_avg_pool3d(map_BDTHW, 1).flatten(1), map_BDTHW.flatten(2).mT

    def _map(self, video_BTCHW: Tensor) -> Tensor:
        """The last feature map [B, dim, T, H, W]: the network without its average and its classifier."""
        maps = video_BTCHW.transpose(1, 2)
        for name, part in self.network.named_children():
            if name == "avgpool":
                break
            maps = part(maps)
        return maps.permute(0, 4, 1, 2, 3) if self.name == "swin3d_t" else maps


def _mvit_tokens(network: Any, video_BTCHW: Tensor) -> Tensor:
    """The class token, then the places of the last map: [B, 1 + N, dim].

    torchvision's own forward pass takes the size of the map from the published frames; here it is that of the frames.
    """
    map_BDTHW = network.conv_proj(video_BTCHW.transpose(1, 2))
    tokens_BND = network.pos_encoding(map_BDTHW.flatten(2).mT)  # puts the class token in front
    size = tuple(map_BDTHW.shape[2:])
    for block in network.blocks:
        tokens_BND, size = block(tokens_BND, size)
    normed_BND: Tensor = network.norm(tokens_BND)
    return normed_BND
