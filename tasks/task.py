"""What a task owes the trainer and the evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

Features = dict[str, Tensor]
"""What an encoder gives: by level, lowest first, the summaries [B, U, D] of the U units of each window."""

Losses = dict[str, dict[str, Tensor]]
"""Weighted scalar losses by level and term; the trainer runs one backward over their sum."""


class Task(nn.Module, ABC):
    """A way to train: which model, which losses, which parameters form which optimizer.

    It knows nothing of loops, precision and logging; its state_dict is everything that a checkpoint needs of it.
    """

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """What evaluation uses: called with normalised windows [B, T, C, H, W], it gives Features."""

    @property
    def classifier(self) -> nn.Module | None:
        """From the last level's features [N, D] to class scores [N, classes], where the task has learned one."""
        return None

    @abstractmethod
    def losses(self, video_BTCHW: Tensor, rows_B: Tensor, frames_BT: Tensor, generator: torch.Generator) -> Losses:
        """The losses of one batch.

        Args:
            video_BTCHW: normalised windows.
            rows_B: int64, the catalog row of each window.
            frames_BT: int64, the places of its frames in the video.
            generator: on the CPU; the only source of randomness beside dropout.
        """

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each optimizer, by name; together all parameters, each once."""
