"""The keys of `task: svt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from config.section import AboveZero, Positive, Share, ShareRange
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


class SVTSettings(TaskSettings):
    """Student and teacher over global and local space-time views (Ranasinghe et al., 2022, arXiv 2112.01514)."""

    takes_any_encoder: ClassVar[bool] = True
    takes_several_datasets: ClassVar[bool] = True

    out_dim: Positive = Field(description="prototypes")
    hidden_dim: Positive = Field(description="hidden width of the head")
    bottleneck_dim: Positive = Field(description="width of the normalised bottleneck before the prototypes")
    local_views: Annotated[int, Field(ge=0)] = Field(
        description="small crops of space and time, beside two global ones"
    )
    global_scale: ShareRange = Field(description="area of global crops")
    local_scale: ShareRange = Field(description="area of local crops")
    local_time: ShareRange = Field(description="share of the window's time that a local view covers")
    student_temperature: AboveZero = Field(description="temperature of the student's softmax")
    teacher_temperature: AboveZero = Field(description="temperature of the teacher's softmax after its warm-up")
    warmup_teacher_temperature: AboveZero = Field(description="the same at the start")
    teacher_warmup: Share = Field(description="share of training in which the teacher's temperature rises")
    centre_momentum: float = Field(
        ge=0, lt=1, description="momentum of the running mean that is taken off the teacher's scores"
    )
    momentum: Share = Field(description="share of the teacher that a step keeps, at the start")
    final_momentum: Share = Field(description="the same at the end; half a cosine between them")

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.svt import SVTTask

        return SVTTask(config)
