"""Where a run stands: what a continuation must know beside the weights, and what the summary tells at the end."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.earlier import differences, read_earlier
from config.errors import InputError
from config.evaluations import choosing
from config.validation_schedule import SCHEDULE_KEYS

if TYPE_CHECKING:
    from config.schema import Config

logger = logging.getLogger(__name__)

# What may change between the parts of a run. Only num_epochs changes what a step computes: it stretches the schedule.
FREE_KEYS = {
    "resume",
    "auto_requeue",
    "checkpoint",
    "save_path",
    "num_workers",
    "eval_memory_mb",
    "features_memory_mb",
    "num_epochs",
    *SCHEDULE_KEYS,
    "validate_before",
    "log_interval",
    "figures",
    "figure_videos",
    "figure_epochs",
    "model_figures",
    "pixel_floors",
    "strict_monitors",
    "tracking",
    "wandb",
    "until",
    "patience",
    "deterministic",
    "find_batch_size",
}


@dataclass
class History:
    """Counts and records of a run, as plain values."""

    at_init: dict[str, Any]
    """The validation record before training: the floor of all later ones."""
    run: str = ""
    """A random name, the same in all checkpoints of a run; "" in those of older versions."""
    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches of the next epoch that are done already."""
    step: int = 0
    bad_steps: int = 0
    """Steps that were skipped because a loss or gradient was not finite."""
    best_score: float | None = None
    best_step: int = 0
    runners_up: list[list[float]] = field(default_factory=list)
    """[score, step of the run] of the checkpoints that `keep_best` keeps beside the best one, the best first."""
    full_scores: int = 0
    """Validations that scored 100 %."""
    unlogged: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`loss` and `grad_norm` of the steps since the latest line of metrics.jsonl: a part of the next one."""
    windows: int = 0
    """Trained on; a window counts once, whatever views are made of it."""
    step_seconds: float = 0.0
    """Duration of all steps, including the wait for data."""
    data_wait: float = 0.0
    """Seconds of them spent waiting for data."""
    wall_seconds: float = 0.0
    """Duration of the whole run so far, earlier parts included."""
    best_watched: float | None = None
    """The best value so far of what `until: plateau` watches."""
    waited: int = 0
    """Validations since then."""
    bytes_per_window: int | None = None
    """Memory that a window of a batch took in the first steps; None: not measured."""
    first_step: int = 0
    """Steps of the stages before this one; all other counts are of this stage."""
    first_epoch: int = 0
    finished: list[dict[str, Any]] = field(default_factory=list)
    """The stages before this one; see `runs/stages.py`."""

    @property
    def total_steps(self) -> int:
        """Steps of the run, those of earlier stages included."""
        return self.first_step + self.step

    @property
    def total_best_step(self) -> int:
        """The step of the chosen checkpoint, counted in the same way."""
        return self.first_step + self.best_step

    def watch(self, value: float | None) -> None:
        """Notes what a validation found of the value in which a plateau shows; None: nothing."""
        if value is not None and math.isfinite(value) and (self.best_watched is None or value > self.best_watched):
            self.best_watched, self.waited = value, 0
        else:
            self.waited += 1

    def is_over(self, config: Config) -> bool:
        """Whether the training has come to its end, by its epochs or at a plateau."""
        return self.epoch >= config.num_epochs or self.is_at_plateau(config)

    def is_at_plateau(self, config: Config) -> bool:
        """Whether the training ends because nothing gets better."""
        return config.until == "plateau" and self.waited >= config.patience

    def count_step(self, step: int, batch: int, windows: int, seconds: float, data_wait: float) -> None:
        """Counts one training step, number `step` of the run, with the epoch's batch number `batch`, from 1."""
        self.batch, self.step = batch, step
        self.windows += windows
        self.step_seconds += seconds
        self.data_wait += data_wait

    def end_epoch(self) -> None:
        """Moves to the first batch of the next epoch."""
        self.epoch, self.batch = self.epoch + 1, 0

    def is_best(self, score: float, can_choose: bool = True) -> bool:
        """Whether the checkpoint of this step takes the place of the best one; then it is noted as that.

        Args:
            score: its validation, percent. Of equal ones the later wins: it has trained longer.
            can_choose: false where scores say nothing, and the latest is taken.
        """
        self.full_scores += score >= 100
        if can_choose and self.best_score is not None and score < self.best_score:
            return False
        self.best_score, self.best_step = score, self.step
        return True

    def choice(self, why_not: str | None) -> tuple[str, bool]:
        """How the exported checkpoint was chosen, in words, and whether scores chose it.

        Args:
            why_not: why validation cannot choose; None where it can.
        """
        if self.best_score is None or why_not:
            reason = why_not or "the checkpoint that it chose was lost"
            return f"step {self.total_best_step}, the last one: validation cannot choose, since {reason}", False
        if self.full_scores > 1:
            return (
                f"step {self.total_best_step}, the last one that validation scores 100 %, as it does "
                f"{self.full_scores} checkpoints: it cannot choose between them"
            ), False
        return f"step {self.total_best_step}, which validation scores highest ({self.best_score:.1f} %)", True

    def speed(self, frames: int) -> dict[str, float]:
        """`windows_per_second`, `frames_per_second`, and `data_wait` as a share of the training time, of all stages.

        Args:
            frames: of a window.
        """
        parts = [*self.finished, {**asdict(self), "frames": frames}]
        seconds = max(sum(part["step_seconds"] for part in parts), 1e-9)
        return {
            "windows_per_second": sum(part["windows"] for part in parts) / seconds,
            "frames_per_second": sum(part["windows"] * part["frames"] for part in parts) / seconds,
            "data_wait": sum(part["data_wait"] for part in parts) / seconds,
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain values, from which `restored` makes the same history."""
        return asdict(self)

    @classmethod
    def restored(cls, state: Mapping[str, Any], clips: int) -> History:
        """The history of a checkpoint.

        Args:
            state: of `state_dict`; older versions counted the clips of the windows.
            clips: of a window.
        """
        known = {field.name for field in fields(cls)}
        windows = {"windows": state["clips"] // clips} if "clips" in state else {}
        return cls(**windows | {name: value for name, value in state.items() if name in known})


def check_same_experiment(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    path: Path,
    asked: str = "resume=true",
    free: Collection[str] = frozenset(FREE_KEYS),
    advice: str = "set it back, or start a new run with another model_name",
) -> None:
    """Refuses to continue a run with another config; keys that only one of the two versions knows do not count.

    Of the evaluations, the one that chooses the checkpoint counts.

    Args:
        then: the config in the checkpoint, of this version of the program or an earlier one.
        now: the config of this start.
        path: the checkpoint, for the message.
        asked: what asks to continue, for the message.
        free: keys that may differ: of the top, or dotted.
        advice: what to do, for the message.

    Raises:
        InputError: a key differs that changes what a step computes.
    """
    earlier = read_earlier(then, str(path))
    if earlier.gone:
        raise InputError(
            f"{asked}, but this version of the program cannot train with {earlier.gone[0]}, as {path} was; "
            "continue the run with the version that wrote it, or start a new one with another model_name"
        )
    if earlier.vanished:
        logger.warning("%s has %s, which this version does not know", path, ", ".join(earlier.vanished))
    found = now.get("find_batch_size") and earlier.values.get("find_batch_size")  # then that number goes on
    free = {*free, "batch_size"} if found else free
    for key, was, value in differences(choosing(earlier.values), choosing(now)):
        if not any(key == name or key.startswith(f"{name}.") for name in free):
            raise InputError(f"{asked}, but {key} is {value!r} and was {was!r} in {path}; {advice}")
