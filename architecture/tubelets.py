"""Windows cut into tubelets, a square patch through a few frames: the tokens of a joint space-time transformer."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from architecture.geometry import Grid3


def to_tubelets(video_BTCHW: Tensor, tubelet: int, patch_size: int) -> Tensor:
    """Cuts windows into tubelets.

    Args:
        video_BTCHW: T a multiple of `tubelet`, or 1: an image is repeated until it fills a tubelet (OmniMAE, Girdhar et
            al., 2023, arXiv 2206.08356).
        tubelet: frames of a tubelet.
        patch_size: its side, pixels.

    Returns:
        [B, N, patch_size^2 * tubelet * C], by time, row and column; pixels by row, column, frame and channel.
    """
    if video_BTCHW.shape[1] == 1:
        video_BTCHW = video_BTCHW.expand(-1, tubelet, -1, -1, -1)
    sizes = {"t": tubelet, "p": patch_size, "q": patch_size}
    return rearrange(video_BTCHW, "b (f t) c (h p) (w q) -> b (f h w) (p q t c)", **sizes)


def from_tubelets(tubelets_BND: Tensor, grid: Grid3, tubelet: int, patch_size: int) -> Tensor:
    """Inverts `to_tubelets`: [B, N, D] to [B, T, C, H, W]; an image comes back repeated."""
    sizes = dict(zip("fhw", grid, strict=True)) | {"t": tubelet, "p": patch_size, "q": patch_size}
    return rearrange(tubelets_BND, "b (f h w) (p q t c) -> b (f t) c (h p) (w q)", **sizes)


def take(tokens_BND: Tensor, index_BK: Tensor) -> Tensor:
    """Some tokens of each sample, by number: [B, N, D] and [B, K] to [B, K, D]."""
    return tokens_BND.gather(1, index_BK[..., None].expand(-1, -1, tokens_BND.shape[-1]))


def by_frame(values_BN: Tensor, grid: Grid3, tubelet: int, frames: int) -> Tensor:
    """What tubelets have, for each patch of the frames that they run through: [B, N, ...] to [B, T, P, ...].

    Args:
        values_BN: of tubelets, by time, row and column.
        grid: times, rows and columns.
        tubelet: frames of a tubelet.
        frames: of the window, T; 1 for an image.
    """
    of_times: Tensor = values_BN.unflatten(1, (grid[0], grid[1] * grid[2]))
    return of_times.repeat_interleave(tubelet, dim=1)[:, :frames]
