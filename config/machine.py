"""The keys that say how a run uses the machine, and how exactly it repeats."""

from __future__ import annotations

from pydantic import Field

from config.section import Section


class MachineConfig(Section):
    """`train_config.yaml`: what depends on the machine; docs/running.md."""

    deterministic: bool = Field(
        default=False,
        description="compute by operations that give the same bits each time, also on a GPU, where they cost time; one "
        "that has no such form ends the run in a line that names it",
    )
    find_batch_size: bool = Field(
        default=False,
        description="before training, try real steps on copies of the model, from `batch_size` on, and train with the "
        "largest batch that fits into memory, at most an epoch's windows",
    )
