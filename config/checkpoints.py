"""The section of the config that says when a run is saved, and which of its checkpoints stay."""

from __future__ import annotations

from pydantic import Field

from config.section import AboveZero, Positive, Section


class CheckpointSettings(Section):
    """`checkpoint`: a run is saved after every epoch, and in between as this says; all of it may change on resuming."""

    every_steps: Positive | None = Field(
        default=None,
        description="save after each so many steps of the run, inside epochs too; null: only as the others say",
    )
    every_minutes: AboveZero | None = Field(
        default=15.0, description="save when the latest checkpoint is so old; null: only as the others say"
    )
    keep_last: Positive = Field(
        default=2,
        description="the latest checkpoints that stay: `last.pt`, and those before it as `last_STEP.pt`, from which a "
        "run goes on where `last.pt` is damaged",
    )
    keep_best: Positive = Field(
        default=1,
        description="the checkpoints with the highest validation scores that stay: `best.pt`, and the others as "
        "`best_STEP.pt`",
    )
    other_data: bool = Field(
        default=False, description="go on although training or validation videos are not those of the checkpoint"
    )
