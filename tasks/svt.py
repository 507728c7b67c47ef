"""Self-distillation baseline: local views of a video must predict the teacher's output for global views."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from architecture import batch_statistics
from architecture.projection_heads import PrototypeHead
from config.augmentation import Augmentation
from config.schema import Config
from data_utils.views.views import TrainingViews, View
from losses import cross_entropy
from tasks.encoder import build_encoder, feature_dim
from tasks.svt_settings import SVTSettings
from tasks.task import Losses, ParameterGroup, StepContext, Task
from tasks.teacher import Following

FROZEN_PROTOTYPES = 0.01
"""Share of the training in which the prototypes keep their initial values: DINO's first of 100 epochs."""
GLOBAL_VIEWS = 2


class ScoringNetwork(nn.Module):
    """The student, or its teacher: an encoder with DINO's head on the last level's features."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        settings = config.section(SVTSettings)
        self.level = config.levels[-1]
        self.encoder = build_encoder(config)
        self.head = PrototypeHead(
            feature_dim(config, self.level), settings.hidden_dim, settings.bottleneck_dim, settings.out_dim
        )

    def forward(self, video_BTCHW: Tensor, *, train_prototypes: bool = True) -> Tensor:
        """Normalised windows to scores [B, K], float32."""
        scores_BK: Tensor = self.head(
            self.encoder(video_BTCHW)[self.level].flatten(0, 1), train_prototypes=train_prototypes
        )
        return scores_BK


class SVTTask(Task):
    """Self-supervised Video Transformer (Ranasinghe et al., 2022, arXiv 2112.01514), by DINO (arXiv 2104.14294).

    Two global views, of two windows of the video, and `local_views` local ones, in turn of the first and of the second
    window. The student's softmax for a view is to match the teacher's for another global view: the loss is the
    mean cross-entropy of all such pairs. The teacher's scores are centred by a running mean and sharpened by a low
    temperature; its weights are a running mean of the student's. Without gradient, dropout and noise, it is also what
    evaluation uses, as in both papers; for a short training `svt.momentum` must be low enough that it gets somewhere.

    In the paper, local views have fewer pixels and frames. The hierarchy has a fixed grid and length, so local views
    here are small crops of space and time, resized to it.

    Args:
        config: the whole config.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.settings, self.augmentation = config.section(SVTSettings), config.augmentation
        self.student = ScoringNetwork(config)
        momenta = self.settings.momentum, self.settings.final_momentum
        self.following = Following(self.student, *momenta, own_statistics=True)
        self.teacher = self.following.teacher
        self.centre_K: Tensor
        self.sum_K: Tensor
        self.count: Tensor
        self.register_buffer("centre_K", torch.zeros(self.settings.out_dim))
        # The teacher's scores since the last step: the centre moves with the step, however many batches make it up.
        self.register_buffer("sum_K", torch.zeros(self.settings.out_dim))
        self.register_buffer("count", torch.zeros(()))

    @property
    def encoder(self) -> nn.Module:
        """The teacher's."""
        return self.teacher.encoder

    @property
    def views(self) -> tuple[View, ...]:
        """Two global views, then the local ones."""
        settings = self.settings
        large = with_crop(self.augmentation, settings.global_scale)
        small = with_crop(self.augmentation, settings.local_scale)
        shortest, longest = settings.local_time
        return (
            *(View(window, large) for window in range(GLOBAL_VIEWS)),
            *(View(number % GLOBAL_VIEWS, small, (shortest, longest)) for number in range(settings.local_views)),
        )

    def train(self, mode: bool = True) -> SVTTask:
        """Sets the mode; in the teacher only BatchNorm layers follow it, so that they count their own statistics."""
        super().train(mode)
        self.following.set_mode(mode)
        return self

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; terms are the pairs with a global and those with a local view, their sum is the mean."""
        train_prototypes = step.progress >= FROZEN_PROTOTYPES
        views, size = len(batch.videos), len(batch.rows_B)
        student_VBK = self.student(torch.cat(batch.videos), train_prototypes=train_prototypes).unflatten(0, (-1, size))
        with torch.no_grad():
            teacher_GBK = self.teacher(torch.cat(batch.videos[:GLOBAL_VIEWS])).unflatten(0, (-1, size))
        temperature = self.teacher_temperature(step.progress)
        pairs = [(view, other) for other in range(GLOBAL_VIEWS) for view in range(views) if view != other]
        terms: dict[str, Tensor] = {}
        for view, other in pairs:
            loss = cross_entropy(
                student_VBK[view], teacher_GBK[other], self.settings.student_temperature, temperature, self.centre_K
            )
            term = "global" if view < GLOBAL_VIEWS else "local"
            terms[term] = terms.get(term, 0) + loss / len(pairs)
        if self.training:
            self.sum_K += batch_statistics.total(teacher_GBK, (0, 1))
            self.count += GLOBAL_VIEWS * batch_statistics.count(batch.rows_B)
        return {"svt": terms}

    def teacher_temperature(self, progress: float) -> float:
        """Rises in a straight line over the first `teacher_warmup` of the training."""
        settings = self.settings
        share = min(1.0, progress / settings.teacher_warmup) if settings.teacher_warmup else 1.0
        first, last = settings.warmup_teacher_temperature, settings.teacher_temperature
        return first + share * (last - first)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Moves the teacher and the centre; see `Task.after_step`."""
        self.following.follow(progress)
        # Without scores, the share is 0.
        share_of_scores = (1 - self.settings.centre_momentum) * (self.count > 0)
        self.centre_K.lerp_(self.sum_K / self.count.clamp(min=1), share_of_scores)
        self.sum_K.zero_()
        self.count.zero_()

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group: the student's encoder; its predictor is the head."""
        student = self.student
        return {"svt": ParameterGroup(list(student.encoder.parameters()), list(student.head.parameters()))}


def with_crop(augmentation: Augmentation, scale: list[float]) -> Augmentation:
    """The same, but every window is cropped to a share of its area from `scale`."""
    crop = augmentation.crop.model_copy(update={"probability": 1.0, "scale": scale})
    return augmentation.model_copy(update={"crop": crop})
