"""Tensors whose rows stand for places, and what becomes of them where places change: more frames, smaller patches.

A row stays at its place: the third frame's embedding remains the third frame's. A grid of patches covers the same frame
whatever its number of patches, so it is resampled, as pictures are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """How the first axis of a tensor is laid out; of `patch_in`, the last axis.

    `grid`: rows and columns of patches in a frame, row-major. `row`: frames, clips or units in the order of time.
    `distances`: signed distances in time from -(n - 1) to n - 1. `patch_in` and `patch_out`: the pixels of a square
    patch by row, column and channel, as what a linear layer takes, and as what it gives.
    """

    kind: Literal["grid", "row", "distances", "patch_in", "patch_out"]
    channels: int = 3
    """Numbers of a pixel."""

    def differs(self, old: Tensor, new: Tensor, grids: tuple[Grid, Grid]) -> bool:
        """Whether the places are others; `grids`: the old and the new grid of patches in a frame."""
        return old.shape != new.shape or (self.kind == "grid" and grids[0] != grids[1])

    def fits(self, old: Tensor, new: Tensor) -> bool:
        """Whether all but the axis of places is the same, so that `refit` can be asked."""
        if self.kind == "patch_in":
            return old.shape[:-1] == new.shape[:-1]
        return old.ndim > 0 and old.shape[1:] == new.shape[1:]

    def refit(self, old: Tensor, new: Tensor, grids: tuple[Grid, Grid]) -> Tensor:
        """The old values at the new places.

        Args:
            old: the tensor as it was.
            new: the one that takes its place; its values stay where there was nothing before.
            grids: the old and the new grid of patches in a frame.

        Returns:
            Of the shape of `new`. A grid is resampled by bicubic interpolation, as ViT's positions are (Dosovitskiy et
            al., 2021, arXiv 2010.11929). What a layer takes of a patch is resized so that it gives the same for the
            resized patch as before, as nearly as possible (FlexiViT, Beyer et al., 2023, arXiv 2212.08013); what it
            gives is resized as a picture is.
        """
        if self.kind == "grid":
            return _resampled(old, grids, "bicubic")
        if self.kind == "patch_in":
            resize_QP = _patch_resize(old.shape[-1], new.shape[-1], self.channels)
            return self._over_patch(torch.linalg.pinv(resize_QP.T), old)
        return self._moved(old, new)

    def refit_moments(self, old: Tensor, new: Tensor, grids: tuple[Grid, Grid]) -> Tensor:
        """What an optimizer remembers of each number, at the new places: 0 at places that are new.

        Gradients of a patch's pixels are resized as pictures are; nothing that is never negative becomes so.
        """
        if self.kind == "grid":
            return _resampled(old, grids, "bilinear")
        if self.kind == "patch_in":
            return self._over_patch(_patch_resize(old.shape[-1], new.shape[-1], self.channels), old)
        return self._moved(old, torch.zeros_like(new))

    def _moved(self, old: Tensor, new: Tensor) -> Tensor:
        """`row`, `distances` and `patch_out`, which are the same for values and moments."""
        if self.kind == "patch_out":
            resize_QP = _patch_resize(len(old), len(new), self.channels)
            return self._over_patch(resize_QP, old.movedim(0, -1)).movedim(-1, 0).contiguous()
        filled, count = new.clone(), min(len(old), len(new))
        # Distance 0 stands in the middle of a table of distances.
        before, after = ((len(old) - count) // 2, (len(new) - count) // 2) if self.kind == "distances" else (0, 0)
        filled[after : after + count] = old[before : before + count]
        return filled

    def _over_patch(self, matrix_QP: Tensor, values: Tensor) -> Tensor:
        """The matrix over the pixels of the last axis, each channel by itself: [..., P * C] to [..., Q * C]."""
        pixels = values.double().unflatten(-1, (-1, self.channels))
        return torch.einsum("qp,...pc->...qc", matrix_QP, pixels).flatten(-2).to(values.dtype)


def _resampled(table_ND: Tensor, grids: tuple[Grid, Grid], mode: str) -> Tensor:
    """A table of the places of one grid for those of another."""
    if grids[0] == grids[1]:
        return table_ND.clone()
    picture = table_ND.double().T.unflatten(1, grids[0])[None]
    resampled = F.interpolate(picture, size=grids[1], mode=mode, align_corners=False)[0]
    return resampled.flatten(1).T.to(table_ND.dtype).contiguous()


def _patch_resize(old: int, new: int, channels: int) -> Tensor:
    """The matrix [Q, P] that resizes a square patch of P pixels to Q, bilinearly, float64.

    Args:
        old: numbers in the old patch, all channels.
        new: the same in the new one.
        channels: of a pixel.
    """
    sides = [math.isqrt(numbers // channels) for numbers in (old, new)]
    each_pixel = torch.eye(sides[0] ** 2, dtype=torch.float64).view(-1, 1, sides[0], sides[0])
    resized = F.interpolate(each_pixel, size=(sides[1], sides[1]), mode="bilinear", antialias=True)
    return resized.flatten(1).T
