"""A teacher: a copy of a network that is not trained, and whose weights follow the network's as a running mean."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from schedules import half_cosine

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Following(Generic[NetworkT]):
    """Makes a teacher and lets it follow its student (BYOL, Grill et al., 2020, arXiv 2006.07733).

    A teacher sees without dropout and noise. Its BatchNorms have either the student's running statistics or their own:

    * the student's: the teacher stays in evaluation mode altogether, so that what it makes of a window is a function
      of that window alone;
    * their own: they count what the teacher sees, and in training normalise by the batch, as DINO's do.

    This is not a module: the task holds both networks under names of their own, as its checkpoints have them.

    Args:
        student: the network that is followed.
        momentum: share of the teacher's weights that a step keeps, at the start of the training.
        final_momentum: the same at its end; half a cosine lies between them.
        own_statistics: whether the teacher's BatchNorms count their own running statistics.
    """

    def __init__(self, student: NetworkT, momentum: float, final_momentum: float, *, own_statistics: bool) -> None:
        self.student, self.teacher = student, deepcopy(student).requires_grad_(False)
        self.first, self.last, self.own_statistics = momentum, final_momentum, own_statistics
        self.set_mode(student.training)

    def momentum(self, progress: float) -> float:
        """Share of the teacher that a step keeps, after `progress` of the training."""
        return half_cosine(self.first, self.last, progress)

    def set_mode(self, training: bool) -> None:
        """Sets the teacher's mode for a task that is in training mode, or in evaluation mode."""
        self.teacher.eval()
        if self.own_statistics:
            for module in self.teacher.modules():
                if isinstance(module, _BatchNorm):
                    module.train(training)

    @torch.no_grad()
    def follow(self, progress: float) -> None:
        """Moves the teacher's weights towards the student's, and gives it the student's statistics."""
        share = 1 - self.momentum(progress)
        for own, followed in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            own.lerp_(followed, share)
        if not self.own_statistics:
            for kept, current in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
                kept.copy_(current)
