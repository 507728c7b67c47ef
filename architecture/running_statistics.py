"""What training changes beside weights, kept so that a step can be taken back."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningStatistics:
    """The buffers of a task that training changes, such as BatchNorm's, to be put back after a step that is taken back.

    Args:
        task: whose state_dict names them; other buffers are constants.
    """

    def __init__(self, task: nn.Module) -> None:
        saved = task.state_dict().keys()
        self._task = task
        self._names = [name for name, _ in task.named_buffers() if name in saved]
        self._kept: dict[str, Tensor] = {}

    def keep(self) -> None:
        """Notes what they are now."""
        self._kept = {name: self._task.get_buffer(name).clone() for name in self._names}

    @torch.no_grad()
    def restore(self) -> None:
        """Puts back what was noted, where something is."""
        for name, value in self._kept.items():
            self._task.get_buffer(name).copy_(value)

    def drop(self) -> None:
        """Forgets what was noted."""
        self._kept = {}
