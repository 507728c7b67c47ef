"""The hierarchy: patches become frames, frames clips, clips the sequence."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from architecture.blocks import init_lecun
from architecture.level import Level
from architecture.stem import PatchStem


class HierarchicalTransformer(nn.Module):
    """The stem and the levels.

    Args:
        levels: the numbers of each level by name, lowest first: keyword arguments of `Level`.
        frame_size: height and width of a frame, pixels.
        patch_size: side of a patch, pixels.
        frames_per_clip: frames that the second level joins.
        clips: clips that the third level joins.
        weight_init: `torch`, or `lecun`: see `init_lecun`.
        isolated: whether a level's input is detached, so that no gradient reaches the level below.
    """

    def __init__(
        self,
        levels: dict[str, dict[str, Any]],
        *,
        frame_size: tuple[int, int],
        patch_size: int,
        frames_per_clip: int,
        clips: int,
        weight_init: str,
        isolated: bool,
    ) -> None:
        super().__init__()
        self.isolated = isolated
        height, width = frame_size
        grid = (height // patch_size, width // patch_size)
        shapes = [grid, (frames_per_clip,), (clips,)]
        dims = [numbers["dim"] for numbers in levels.values()]
        self.stem = PatchStem(patch_size, dims[0])
        self.levels = nn.ModuleDict(
            {
                name: Level(in_dim, shape, **numbers)
                for (name, numbers), in_dim, shape in zip(levels.items(), [dims[0], *dims], shapes, strict=False)
            }
        )
        self.tokens_per_unit = {name: math.prod(shape) for name, shape in zip(levels, shapes, strict=False)}
        if weight_init == "lecun":
            self.apply(init_lecun)

    def forward(self, video_BTCHW: Tensor) -> dict[str, Tensor]:
        """The summaries of every level, lowest first: `space` [B, T, D], `time` [B, C, D], `clip` [B, 1, D]."""
        return self.encode(video_BTCHW)[1]

    def encode(self, video_BTCHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Encodes normalised windows.

        Args:
            video_BTCHW: [B, T, C, H, W] float; T is frames per clip times clips.

        Returns:
            the patch tokens [B, T, P, D], and the summaries of every level, lowest first.
        """
        patches_BTPD = self.stem(video_BTCHW)
        summaries: dict[str, Tensor] = {}
        units_BGND = patches_BTPD
        for name, level in self.levels.items():
            if summaries:  # regroup the summaries of the level below: [B, G, D] to [B, G / N, N, D]
                below_BGD = next(reversed(summaries.values()))
                below_BGD = below_BGD.detach() if self.isolated else below_BGD
                # One scale for a level's input, however the level below goes on learning.
                below_BGD = F.layer_norm(below_BGD, below_BGD.shape[-1:])
                units_BGND = below_BGD.unflatten(1, (-1, self.tokens_per_unit[name]))
            summaries[name] = level(units_BGND)
        return patches_BTPD, summaries

    def level_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each level; the stem trains with the lowest."""
        parameters = {name: list(level.parameters()) for name, level in self.levels.items()}
        next(iter(parameters.values())).extend(self.stem.parameters())
        return parameters
