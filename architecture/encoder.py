"""The contract of a trained encoder: features, tokens, and the windows that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

Features = dict[str, Tensor]
"""By level, lowest first: the summaries [B, G, D] of the G units of each window."""

Tokens = dict[str, Tensor]
"""By level, lowest first: what the level made of the N tokens of each of its G units, [B, G, N, D]."""


@dataclass(frozen=True)
class Inputs:
    """The windows that an encoder was trained on, and takes whenever it is used."""

    frames: int
    """Frames of a window."""
    sampling: Literal["dense", "uniform", "states"]
    """Whether a window takes frames `frequency` apart, one from each of `frames` equal segments of the video, or
    `frames` of five states from its beginning to its end."""
    frequency: int
    """Distance of two frames of a dense window, in frames of the video; `frequency_fps`, where given, replaces it."""
    frequency_fps: float | None
    """Frames of a window per second of video, where the distance depends on the video's frame rate."""
    read_size: tuple[int, int]
    """Height and width that a frame is scaled to cover and cut to."""
    frame_size: tuple[int, int]
    """Height and width of the frames that the network sees."""
    mean: tuple[float, ...]
    """Per channel, of pixels in [0, 1]."""
    std: tuple[float, ...]
    """Per channel, of pixels in [0, 1]."""


class Encoder(Protocol):
    """A trained encoder: `load_encoder` gives one for any task and any network."""

    @property
    def inputs(self) -> Inputs:
        """The windows that it takes."""

    def __call__(self, video_BTCHW: Tensor) -> Features:
        """The features of windows."""

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The features of windows and, of every level, the tokens that stand behind them; a single forward pass."""
