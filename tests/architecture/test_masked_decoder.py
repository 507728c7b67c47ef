from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from architecture.masked_decoder import MaskedDecoder
from architecture.masking import draw_mask
from architecture.tubelets import take

GRID = (2, 2, 3)
NUMBERS: dict[str, Any] = {"dim": 8, "layers": 1, "heads": 2, "mlp_dim": 12}


def make(**changes: Any) -> MaskedDecoder:
    torch.manual_seed(0)
    return MaskedDecoder(10, GRID, 7, **NUMBERS | changes).eval()


def make_tokens(kept: int) -> Tensor:
    return torch.randn(3, kept, 10, generator=torch.Generator().manual_seed(1))


def test_the_published_decoder_and_head_have_8_million_weights() -> None:
    with torch.device("meta"):
        decoder = MaskedDecoder(768, (8, 14, 14), 1536, dim=384, layers=4, heads=16, mlp_dim=1536)
    assert sum(p.numel() for p in decoder.parameters()) / 1e6 == pytest.approx(8.0, abs=0.05)


def test_every_shown_token_stands_at_its_place_and_the_hidden_one_elsewhere() -> None:
    decoder, mask = make(), draw_mask("random", GRID, 0.5, (0, 0), torch.arange(3))
    tokens = make_tokens(mask.keep_BK.shape[1])
    without_positions = decoder.whole(tokens, mask.keep_BK, 12) - decoder.positions.table_ND
    torch.testing.assert_close(take(without_positions, mask.keep_BK), decoder.project(tokens))
    hidden = take(without_positions, mask.masked_BM)
    torch.testing.assert_close(hidden, decoder.hidden_D.expand_as(hidden))


def test_the_order_of_shown_tokens_does_not_matter() -> None:
    decoder, mask = make(), draw_mask("random", GRID, 0.5, (0, 0), torch.arange(3))
    tokens, order = make_tokens(6), torch.tensor([3, 1, 5, 0, 2, 4])
    one, other = decoder(tokens, mask.keep_BK, 12), decoder(tokens[:, order], mask.keep_BK[:, order], 12)
    torch.testing.assert_close(one, other)


def test_what_is_asked_is_what_all_have_there() -> None:
    decoder, mask = make(), draw_mask("random", GRID, 0.5, (0, 0), torch.arange(3))
    tokens, beside = make_tokens(6), torch.randn(3, 1, 8)
    whole = decoder(tokens, mask.keep_BK, 12, beside_BLD=beside)
    assert whole.shape == (3, 12, 7)
    asked = decoder(tokens, mask.keep_BK, 12, mask.masked_BM, beside)
    torch.testing.assert_close(asked, take(whole, mask.masked_BM))
    assert not torch.allclose(whole, decoder(tokens, mask.keep_BK, 12), atol=1e-4)  # what stands beside is seen


def test_an_image_takes_the_first_places_of_a_decoder_of_videos() -> None:
    decoder, mask = make(), draw_mask("random", (1, 2, 3), 0.5, (0, 0), torch.arange(3))
    assert decoder(make_tokens(3), mask.keep_BK, 6).shape == (3, 6, 7)
