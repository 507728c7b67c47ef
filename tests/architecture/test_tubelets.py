from __future__ import annotations

import pytest
import torch

from architecture.geometry import tubelet_grid
from architecture.stem import patchify
from architecture.tubelets import from_tubelets, take, to_tubelets


@pytest.mark.parametrize("tubelet", [1, 2, 3])
def test_tubelets_can_be_put_together_again(tubelet: int) -> None:
    video = torch.randn(2, 6, 3, 8, 12)
    tubelets = to_tubelets(video, tubelet, 4)
    grid = tubelet_grid(6, (8, 12), tubelet, 4)
    assert tubelets.shape == (2, grid[0] * grid[1] * grid[2], 4 * 4 * 3 * tubelet)
    assert torch.equal(from_tubelets(tubelets, grid, tubelet, 4), video)


def test_the_order_is_time_row_column_and_pixels_by_row_column_frame_channel() -> None:
    video = torch.arange(2 * 3 * 4 * 4).view(1, 2, 3, 4, 4).float()
    tubelets = to_tubelets(video, 2, 2)
    expected = [video[0, t, c, 2 + p, q].item() for p in (0, 1) for q in (0, 1) for t in (0, 1) for c in range(3)]
    assert tubelets[0, 2].tolist() == expected  # second row, first column
    assert torch.equal(to_tubelets(video, 1, 2), patchify(video, 2).flatten(1, 2))


def test_an_image_is_repeated_until_it_fills_a_tubelet() -> None:
    image = torch.randn(2, 1, 3, 8, 8)
    assert torch.equal(to_tubelets(image, 2, 4), to_tubelets(image.repeat(1, 2, 1, 1, 1), 2, 4))
    assert tubelet_grid(1, (8, 8), 2, 4) == (1, 2, 2)


def test_tokens_are_taken_by_number() -> None:
    tokens = torch.randn(2, 5, 3)
    taken = take(tokens, torch.tensor([[4, 0], [1, 1]]))
    assert torch.equal(taken, torch.stack([tokens[0, [4, 0]], tokens[1, [1, 1]]]))
