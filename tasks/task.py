"""The contract of a task with the trainer and the evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from architecture.layouts import Layout
from data_utils.views.views import TrainingViews, View

if TYPE_CHECKING:
    from tasks.prediction_maps import ErrorMap

Losses = dict[str, dict[str, Tensor]]
"""Weighted scalar losses by level and term; the trainer moves along the gradient of their sum."""


SHOWN, MEANS = "shown", "means of\nthe patches"  # rows of a figure


@dataclass(frozen=True)
class StepContext:
    """The context of the step that asks a task for its losses."""

    generator: torch.Generator
    """On the CPU, a pure function of (seed, step); the only source of randomness beside dropout and its like."""
    progress: float = 0.0
    """Share of the training that is done, in [0, 1)."""
    levels: frozenset[str] | None = None
    """The parameter groups whose losses are asked for; None: all. What is not asked for may be left out."""
    measures: dict[str, Tensor] = field(default_factory=dict)
    """Numbers that are logged beside the losses and train nothing, by name; see `measure`."""

    def measure(self, name: str, value: Tensor) -> None:
        """Logs a scalar, such as an accuracy, beside the losses: the mean over the batches of a step."""
        self.measures[name] = value.detach()


@dataclass(frozen=True)
class ParameterGroup:
    """The parameters of one level (or of a whole task without levels), each once."""

    parameters: list[nn.Parameter]
    predictors: list[nn.Parameter] = field(default_factory=list)
    """Parameters of its predictors, not in `parameters`; they may have a learning rate or an optimizer of their own."""
    rates: Mapping[int, float] = field(default_factory=dict)
    """Learning rates of single parameters as shares of the group's, by id; of the others, all of it."""

    def all(self) -> list[nn.Parameter]:
        """Both."""
        return [*self.parameters, *self.predictors]


class Task(nn.Module, ABC):
    """A way to train: which model, which losses, which parameters form which optimizer.

    It knows nothing of loops, precision and logging; its state_dict is everything that a checkpoint needs of it.
    """

    copies: ClassVar[Mapping[str, str]] = {}
    """What names of tensors begin with that start as copies (a teacher's), and those of what they are copies of."""

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The part that evaluation uses: called with normalised windows [B, T, C, H, W], it gives `Features`."""

    @property
    def classifier(self) -> nn.Module | None:
        """From the last level's features [N, D] to class scores [N, classes], where the task has learned one."""
        return None

    @property
    @abstractmethod
    def views(self) -> tuple[View, ...]:
        """The looks at each window that `losses` asks for, in the order of `TrainingViews.videos`."""

    @property
    def view_names(self) -> tuple[str, ...]:
        """Names of the `views` in a figure."""
        return tuple(f"view {number}" for number in range(1, len(self.views) + 1))

    @abstractmethod
    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """The losses of one batch, by name of parameter group and term."""

    @property
    def levels_share_graph(self) -> bool:
        """Whether backward through one group's losses uses up what another's need; no matter for a single group."""
        return True

    def losses_by_level(self, batch: TrainingViews, step: StepContext) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """What `losses` gives, one parameter group after the other, each computed when it is asked for.

        Where levels share no graph, backward through one of them may run before the next is computed, which then does
        not add to its memory.
        """
        yield from self.losses(batch, step).items()

    @abstractmethod
    def parameter_groups(self) -> Mapping[str, ParameterGroup]:
        """The parameters of each level by name, lowest first; together all trained parameters, each once."""

    def layouts(self) -> dict[str, Layout]:
        """By name, the tensors of the state_dict that stand for places: what modules say in an attribute `layouts`."""
        found: dict[str, Layout] = {}
        for path, module in self.named_modules():
            layouts = {} if module is self else getattr(module, "layouts", {})
            found |= {f"{path}.{name}": layout for name, layout in layouts.items()}
        return found

    def after_step(self, progress: float) -> None:
        """Is called after every optimizer step, for what follows the weights (a teacher).

        Args:
            progress: share of the training that is done, in (0, 1].
        """
        del progress

    def prediction_errors(
        self, video_BTCHW: Tensor, generator: torch.Generator
    ) -> dict[str, dict[str, tuple[float, float]]]:
        """How well predictions fit their own target, and how well that of another window: a monitor of collapse.

        Where the second error is no larger than the first, predictions know nothing of the window that they are of.
        Runs in evaluation mode and without gradient, and leaves the task as it was.

        Args:
            video_BTCHW: normalised windows, as different as can be, two at least; the target of another window is that
                of the window before in the batch.
            generator: on the CPU; draws what is predicted.

        Returns:
            mean squared errors against (own, other's) normalised target by level and direction; {} where nothing is
            predicted, or the batch is a single window.
        """
        del video_BTCHW, generator
        return {}

    def prediction_maps(self, video_BTCHW: Tensor, views: TrainingViews | None = None) -> dict[str, list[ErrorMap]]:
        """How far predictions are off by what they are of, for a figure: by level; {} where nothing is predicted.

        Runs in evaluation mode and without gradient, and leaves the task as it was.

        Args:
            video_BTCHW: normalised windows of different videos, two at least.
            views: of other windows, as `losses` gets them, for the distance between two views; None: without it.
        """
        del video_BTCHW, views
        return {}

    def predicted_pixels(self, video_BTCHW: Tensor) -> Tensor | None:
        """What the frames of windows predict of their own pixels, for a figure; None where they do not.

        Runs in evaluation mode and without gradient, and leaves the task as it was.

        Args:
            video_BTCHW: normalised windows.

        Returns:
            [B, T, C, H, W], with each true patch's own mean and contrast where targets are normalised patch by patch;
            nan for patches that nothing predicts.
        """
        del video_BTCHW
        return None

    def pixels_beside(self, video_BTCHW: Tensor) -> dict[str, Tensor]:
        """What the figure of `predicted_pixels` shows beside the prediction, by the name of its row.

        Runs in evaluation mode and without gradient, and leaves the task as it was.

        Args:
            video_BTCHW: normalised windows, those that `predicted_pixels` was asked for.

        Returns:
            `SHOWN`, what was shown, and `MEANS`, the prediction with nothing but the means of the patches: [B, T, C, H,
            W] each, nan where there is nothing. {} where all was shown.
        """
        del video_BTCHW
        return {}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """`module` in evaluation mode, and afterwards in the one that it was in."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
