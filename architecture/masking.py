"""Which tokens of a window are hidden: drawn on the device, a pure function of (seed, step, row).

The numbers come from a counter-based hash of the key and of the token's number (SplitMix64's finaliser, Steele et al.,
2014, "Fast splittable pseudorandom number generators") in int64, so that there is no generator whose state matters: the
same mask on the CPU and on any GPU, whatever stands beside a window in its batch, and without waiting for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from architecture.geometry import Grid3, MaskKind, masked_count, masked_things

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True)
class Mask:
    """The tokens of each window that are shown and those that are hidden, by number, ascending."""

    keep_BK: Tensor
    masked_BM: Tensor

    @property
    def tokens(self) -> int:
        """N, of all tokens."""
        return self.keep_BK.shape[1] + self.masked_BM.shape[1]

    def hidden(self) -> Tensor:
        """[B, N] bool: True where a token is hidden."""
        blank_BN = torch.zeros(len(self.keep_BK), self.tokens, dtype=torch.bool, device=self.keep_BK.device)
        return blank_BN.scatter_(1, self.masked_BM, True)


def draw_mask(kind: MaskKind, grid: Grid3, ratio: float, key: Sequence[int], rows: Tensor) -> Mask:
    """Draws which tokens are hidden.

    Args:
        kind: `random`: any; `tube`: the same places at all times, so the same mask for all frames of a window; `frame`:
            whole times; `causal`: the last times, for which nothing is drawn.
        grid: times, rows and columns of the tokens.
        ratio: share that is hidden, of what `masked_things` says; rounded down.
        key: of the step: its seed and number, or one number that is a function of both.
        rows: int64 [B], or [B, W] where several numbers tell windows apart (a row, its first frame, a copy); on the
            device that the mask is for.
    """
    times, places = grid[0], grid[1] * grid[2]
    number = masked_things(kind, grid)
    hidden = masked_count(number, ratio)
    if kind == "causal":
        order_BN = torch.arange(times - 1, -1, -1, device=rows.device).expand(len(rows), -1)
    else:
        order_BN = _hashed(key, rows, number).argsort(dim=1, stable=True)
    keep_BK, masked_BM = order_BN[:, hidden:], order_BN[:, :hidden]
    return Mask(*(_tokens_of(part, kind, times, places).sort(dim=1).values for part in (keep_BK, masked_BM)))


def _tokens_of(drawn_BM: Tensor, kind: MaskKind, times: int, places: int) -> Tensor:
    """The numbers of the tokens that drawn tokens, places or times stand for."""
    if kind == "random":
        return drawn_BM
    if kind == "tube":
        first_T1 = places * torch.arange(times, device=drawn_BM.device)[:, None]
        return (drawn_BM[:, None] + first_T1).flatten(1)
    return (places * drawn_BM[..., None] + torch.arange(places, device=drawn_BM.device)).flatten(1)


def _hashed(key: Sequence[int], rows: Tensor, number: int) -> Tensor:
    """Pseudorandom int64 numbers [B, number]."""
    words_BW = rows[:, None] if rows.ndim == 1 else rows
    state_B = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for word in key:
        state_B = _mixed(state_B + _signed(_GOLDEN) + _signed(word))
    for word_B in words_BW.unbind(dim=1):
        state_B = _mixed(state_B + _signed(_GOLDEN) + word_B)
    counter_N = torch.arange(1, number + 1, device=rows.device) * _signed(_GOLDEN)
    return _mixed(state_B[:, None] + counter_N)


def _mixed(bits: Tensor) -> Tensor:
    """Every bit of int64 numbers comes to depend on all others; multiplications wrap around."""
    bits = (bits ^ _shifted(bits, 30)) * _signed(_FIRST)
    bits = (bits ^ _shifted(bits, 27)) * _signed(_SECOND)
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """A shift to the right that fills up with zeros; torch's own repeats the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
