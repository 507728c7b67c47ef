"""Position biases for those attention windows of Video Swin that a small map does not fill.

A map that is smaller than the network's window (8 x 7 x 7 places) is a window of its own. Its biases are a part of the
whole window's, but torchvision 0.28 (like the authors' code) takes the first n of the window's places for the n places
of the map: of a 4 x 4 map, the second row would begin at the fifth place of the first row of seven. A map that is
shorter in time alone is not affected, so pretrained weights at their own 224 pixels never meet this.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

from torch import Tensor, nn


def give_small_windows_their_positions(network: nn.Module) -> None:
    """Makes every window attention of a Video Swin network look up the places that a small window really has.

    Args:
        network: torchvision's; its weights and their names stay as they are.
    """
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    for module in network.modules():
        if isinstance(module, ShiftedWindowAttention3d):
            module.get_relative_position_bias = MethodType(_position_bias, module)


def _position_bias(attention: Any, window: Sequence[int]) -> Tensor:
    """What takes the place of `ShiftedWindowAttention3d.get_relative_position_bias`: [1, heads, n, n].

    Args:
        attention: has the table [distances, heads] and the index [N, N] of the whole window's N places.
        window: frames, rows and columns of the window at hand, n places; none larger than the whole window's.
    """
    whole = tuple(attention.window_size)
    frames, rows, columns = window
    index = attention.relative_position_index.view(*whole, *whole)
    index = index[:frames, :rows, :columns, :frames, :rows, :columns].flatten()
    places = frames * rows * columns
    bias: Tensor = attention.relative_position_bias_table[index].view(places, places, -1)
    return bias.permute(2, 0, 1)[None]
