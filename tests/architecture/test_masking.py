"""Masks have the published counts, and are functions of their key alone."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
import torch

from architecture.geometry import MaskKind, masked_count
from architecture.masking import draw_mask

IMAGE, VIDEO = (1, 14, 14), (8, 14, 14)
KINDS: tuple[MaskKind, ...] = get_args(MaskKind)
WORD = 2**64


def hashed(seed: int, step: int, row: int, number: int) -> list[int]:
    """The numbers that tokens are sorted by, in Python's own integers; signed."""

    def mixed(bits: int) -> int:
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % WORD
        return bits ^ (bits >> 31)

    golden, state = 0x9E3779B97F4A7C15, 0
    for word in (seed, step, row):
        state = mixed((state + golden + word) % WORD)
    values = [mixed((state + counter * golden) % WORD) for counter in range(1, number + 1)]
    return [value - WORD if value >= WORD // 2 else value for value in values]


@pytest.mark.parametrize(("grid", "ratio", "shown", "hidden"), [(IMAGE, 0.75, 49, 147), (VIDEO, 0.9, 157, 1411)])
def test_the_published_counts(grid: tuple[int, int, int], ratio: float, shown: int, hidden: int) -> None:
    mask = draw_mask("random", grid, ratio, key=(0, 0), rows=torch.arange(3))
    assert (mask.keep_BK.shape[1], mask.masked_BM.shape[1]) == (shown, hidden)


@pytest.mark.parametrize(("number", "ratio", "hidden"), [(100, 0.29, 29), (7, 0.5, 3), (4, 0.75, 3), (10, 0.999, 9)])
def test_shares_are_rounded_down_but_not_by_rounding_errors(number: int, ratio: float, hidden: int) -> None:
    assert masked_count(number, ratio) == hidden


@pytest.mark.parametrize(("kind", "batch"), list(product(KINDS, (1, 5))))
def test_every_token_is_either_shown_or_hidden(kind: MaskKind, batch: int) -> None:
    mask = draw_mask(kind, (4, 3, 5), 0.6, key=(1, 2), rows=torch.arange(batch))
    both, _ = torch.cat([mask.keep_BK, mask.masked_BM], dim=1).sort(dim=1)
    assert torch.equal(both, torch.arange(60).expand(batch, -1))
    assert torch.equal(mask.keep_BK, mask.keep_BK.sort(dim=1).values)
    hidden = mask.hidden()
    assert hidden.gather(1, mask.masked_BM).all()
    assert not hidden.gather(1, mask.keep_BK).any()


def test_the_shapes_of_masks() -> None:
    rows = torch.arange(6)
    hidden = {kind: draw_mask(kind, (4, 3, 5), 0.5, (0, 0), rows).hidden().unflatten(1, (4, 15)) for kind in KINDS}
    tube, frame, causal = hidden["tube"], hidden["frame"], hidden["causal"]
    assert torch.equal(tube, tube[:, :1].expand_as(tube))  # one mask for all frames
    assert (tube[:, 0].sum(dim=1) == 7).all()
    assert torch.equal(frame, frame[..., :1].expand_as(frame))
    assert (frame[..., 0].sum(dim=1) == 2).all()
    assert not causal[:, :2].any()
    assert causal[:, 2:].all()  # the future
    assert (hidden["random"].sum(dim=2).unique()).numel() > 1  # frames of a window have different numbers
    for kind in ("random", "tube", "frame"):
        assert hidden[kind].flatten(1).unique(dim=0).shape[0] > 1  # windows differ


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_a_function_of_seed_step_and_row(kind: MaskKind) -> None:
    def keep(seed: int, step: int, rows: list[int]) -> torch.Tensor:
        return draw_mask(kind, VIDEO, 0.75, (seed, step), torch.tensor(rows)).keep_BK

    torch.manual_seed(0)
    alone = keep(3, 5, [11])
    torch.manual_seed(1)  # no generator takes part
    beside = keep(3, 5, [7, 11, 2])
    assert torch.equal(alone[0], beside[1])
    if kind != "causal":
        others = [keep(4, 5, [11]), keep(3, 6, [11]), keep(5, 3, [11]), beside[:1]]
        assert not any(torch.equal(alone, other) for other in others)


def test_further_numbers_tell_windows_of_a_row_apart() -> None:
    words = torch.tensor([[4, 0, 0], [4, 0, 1], [4, 8, 0], [0, 4, 0]])
    keep = draw_mask("random", VIDEO, 0.9, (0, 0), words).keep_BK
    assert keep.unique(dim=0).shape[0] == 4


def test_the_same_mask_for_ever() -> None:
    """The numbers stand here since a resumed run must draw what it drew before, with any version of torch."""
    mask = draw_mask("random", (1, 3, 4), 0.5, key=(7, 123), rows=torch.tensor([5, 2**40]))
    assert mask.keep_BK.tolist() == [[1, 2, 3, 4, 7, 9], [0, 2, 3, 4, 6, 11]]
    for row, kept in zip((5, 2**40), mask.keep_BK.tolist(), strict=True):
        numbers = hashed(7, 123, row, 12)
        assert kept == sorted(sorted(range(12), key=numbers.__getitem__)[6:])


def test_tokens_are_hidden_equally_often_and_independently() -> None:
    windows, hidden = 20_000, 0.75
    mask = draw_mask("random", (1, 4, 4), hidden, (0, 0), rows=torch.arange(windows)).hidden().double()
    spread = (hidden * (1 - hidden) / windows) ** 0.5
    assert (mask.mean(dim=0) - hidden).abs().max() < 5 * spread
    correlation = torch.corrcoef(mask.T)
    expected = -1 / 15  # of draws without replacement
    off = correlation[~torch.eye(16, dtype=torch.bool)]
    assert (off - expected).abs().max() < 5 / windows**0.5
    masks = [draw_mask("random", (1, 4, 4), hidden, (0, step), torch.tensor([3])) for step in range(400)]
    by_step = torch.stack([mask.hidden() for mask in masks])
    assert (by_step.double().mean(dim=(0, 1)) - hidden).abs().max() < 0.12  # 5 sigma
