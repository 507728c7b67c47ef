"""The keys of a curriculum and of its stages: where one starts, how fast its levels move, how it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from config.hints import refuse
from config.section import LevelName, NonNegative, Positive, Section
from config.start import OF_RESUME_PATH

if TYPE_CHECKING:
    from config.schema import Config

STEP = "step_"
RANK = "rank"
STAGE_CHECKPOINT = "checkpoints/stage_{}.pt"
"""In a run's folder: what a stage leaves to the next one."""
# Of the run as a whole, or of its first stage alone: what follows starts from the stage before it.
OF_THE_RUN = (
    *("model_name", "save_path", "resume", "auto_requeue", "encoder_checkpoint"),
    *("use_curriculum", "curriculum", "carry_from", "stage"),
    *("deterministic", *OF_RESUME_PATH),
)


def _numbered(steps: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """The steps as they are. ValueError: they are not `step_1`, `step_2`, ... or change what no stage may."""
    wrong = [name for name in steps if not re.fullmatch(rf"{STEP}[1-9][0-9]*", name)]
    if wrong:
        raise ValueError(f"there is no {wrong[0]}; stages are called {STEP}1, {STEP}2, ...")
    missing = [f"{STEP}{number}" for number in range(1, len(steps) + 1) if f"{STEP}{number}" not in steps]
    if missing:
        last = max(steps, key=lambda name: int(name.removeprefix(STEP)))
        raise ValueError(f"{missing[0]} is missing, but there is {last}; number the stages from 1, without gaps")
    for name, values in steps.items():
        fixed = [key for key in values if key in OF_THE_RUN]
        if fixed:
            raise ValueError(f"{name}: {fixed[0]} is a key of the whole run; give it outside of curriculum")
    return steps


class CurriculumConfig(Section):
    """`train_config.yaml`: a run in stages; what a stage has of its own works for any run."""

    use_curriculum: bool = Field(description="train the stages of `curriculum`, one after another")
    curriculum: Annotated[dict[str, dict[str, Any]], AfterValidator(_numbered)] = Field(
        description="by stage, `step_1`, `step_2`, ...: overrides of any key of this page, laid over the rest of the "
        "config as a file is; docs/curriculum.md"
    )
    until: Literal["epochs", "plateau"] = Field(
        description="when training ends: after `num_epochs`, or at a plateau, after `num_epochs` at the latest"
    )
    patience: Positive = Field(description="validations in a row without a new best value that make a plateau")
    watch: str = Field(
        description="the value in which a plateau shows, at the last of `groups`: the name of an evaluation (its score "
        "on the level's own labels), or `rank`"
    )
    stage_lr: dict[LevelName, NonNegative] = Field(
        description="factors of levels' learning rates, beside `lr_scale`; 0 freezes a level: its weights and the "
        "statistics of its BatchNorms stay as they are, and it computes as in evaluation"
    )
    carry_from: str | None = Field(
        description="checkpoint of another run (last.pt, best.pt, or stage_1.pt of a curriculum) whose weights, "
        "statistics and optimizer state this one takes over, also where windows, frames or patches are of another size"
    )
    stage: Positive | None = Field(
        description="number of the stage that this run is; generated configs have it, and steps, epochs and curves go "
        "on from those of `carry_from`"
    )


def check_curriculum(config: Config) -> None:
    """Raises ValueError where keys of a curriculum, or of a stage, cannot work with the rest."""
    if config.use_curriculum and not config.curriculum:
        raise ValueError(
            "use_curriculum and curriculum disagree: there are no stages; give curriculum.step_1, or false"
        )
    if config.use_curriculum and config.stage is not None:
        raise ValueError("use_curriculum and stage disagree: a stage has no stages of its own; leave stage out")
    _check_rates(config)
    if config.until == "plateau":
        _check_watch(config)


def _check_rates(config: Config) -> None:
    """Raises ValueError where `stage_lr` names levels that are not trained, or leaves none."""
    if not config.stage_lr:
        return
    if not config.task_settings.trains_levels:
        refuse(
            config,
            f"stage_lr and task disagree: {config.task} trains one group, which has no levels to slow down",
            {"stage_lr": {}},
            {"task": "hierarchical"},
        )
    groups = ", ".join(config.groups)
    unknown = [level for level in config.stage_lr if level not in config.groups]
    if unknown:
        raise ValueError(f"stage_lr and groups disagree: there is no level {unknown[0]}; groups has {groups}")
    trained = [level for level in config.groups if config.stage_lr.get(level) != 0]
    if not trained:
        raise ValueError("stage_lr: all levels are frozen, so that nothing would train; leave one above 0")
    if config.alternating_interval is not None and len(trained) < 2:
        refuse(
            config,
            f"alternating_interval and stage_lr disagree: {trained[0]} is the only level that trains, so there is "
            "nothing to alternate with",
            {"alternating_interval": None, "explicit_freeze": False, "always_compute_loss": False},
        )


def _check_watch(config: Config) -> None:
    """Raises ValueError where a plateau would be looked for in what validation does not measure."""
    if config.watch == RANK:
        return
    watched = config.evaluations.get(config.watch)
    if watched is None:
        known = [
            name for name, evaluation in config.evaluations.items() if evaluation and "validation" in evaluation.when
        ]
        raise ValueError(f"watch: there is no evaluation {config.watch}; use {' or '.join([*known, RANK])}")
    if "validation" not in watched.when:
        raise ValueError(
            f"watch and evaluations.{config.watch}.when disagree: a plateau shows in validations; "
            f"evaluations.{config.watch}.when=[validation, test] would fit, or watch={RANK}"
        )
    last = config.levels[-1]
    if watched.levels is not None and last not in watched.levels:
        raise ValueError(
            f"watch and evaluations.{config.watch}.levels disagree: {last}, the last level, is not scored; "
            f"add it, or use watch={RANK}"
        )
