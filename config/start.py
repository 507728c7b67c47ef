"""The keys that say what a run starts from: its own seed, or what another run has reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from config.section import Section

if TYPE_CHECKING:
    from config.schema import Config

# Each says where the first weights come from.
_SOURCES = ("carry_from", "encoder_checkpoint", "resume_path")
# What `resume_path` is taken with, and what each is where it changes nothing.
OF_RESUME_PATH: dict[str, Any] = {"resume_path": None, "resume_epoch": None, "resume_all": False, "init_missing": []}


class StartConfig(Section):
    """`train_config.yaml`: what a new run takes over from another one; docs/running.md."""

    resume_path: str | None = Field(
        default=None,
        description="folder of another run of the same task and encoder (then its last.pt), or one of its checkpoints, "
        "whose weights this run starts from: those of predictors, projectors and teachers, too",
    )
    resume_epoch: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="with `resume_path`, a run folder: the checkpoint there that was taken after so many epochs",
    )
    resume_all: bool = Field(
        default=False,
        description="take over the whole state of `resume_path`: optimizers, step, schedule, history and records; the "
        "run goes on from there under its new name",
    )
    init_missing: list[str] = Field(
        default=[],
        description="with `resume_path`: tensors that may be missing there, or have another shape, and begin at "
        "random: names, with `*` for any part, such as `hierarchy.levels.clip.*`",
    )


def check_start_keys(config: Config) -> None:
    """Raises ValueError where two keys disagree on what a run starts from."""
    given = [key for key in _SOURCES if getattr(config, key)]
    if len(given) > 1:
        raise ValueError(
            f"{given[0]} and {given[1]} disagree: both say where the weights come from; set one of them to null"
        )
    for key in ("resume_epoch", "resume_all", "init_missing"):
        if getattr(config, key) != OF_RESUME_PATH[key] and config.resume_path is None:
            raise ValueError(f"{key} and resume_path disagree: there is no run to start from; give resume_path")
    if config.resume_all and config.init_missing:
        raise ValueError("resume_all and init_missing disagree: a whole state lacks nothing; set one of them aside")
    if config.resume_all and (config.use_curriculum or config.stage is not None):
        raise ValueError(
            "resume_all and use_curriculum disagree: a run goes on inside its stages only by resume=true; "
            "resume_all=false starts the first stage from the weights"
        )
