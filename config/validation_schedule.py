"""The epochs after which a run validates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from config.hints import refuse

if TYPE_CHECKING:
    from config.schema import Config

# What says after which epochs; whether there is a validation before the first one is `validate_before`.
SCHEDULE_KEYS = ("val_schedule", "val_interval", "val_factor")
_NAMED = 8  # epochs that the log names


def never_validates(config: Config) -> bool:
    """Whether no epoch is followed by a validation."""
    return config.val_schedule == "linear" and config.val_interval == 0


def validates_after(epoch: int, config: Config) -> bool:
    """Whether a validation follows epoch number `epoch`, from 1: of the run, or of its stage."""
    if never_validates(config):
        return False
    if epoch == config.num_epochs:
        return True
    if config.val_schedule == "linear":
        return epoch % config.val_interval == 0
    return _is_power(epoch, config.val_factor)


def _is_power(epoch: int, factor: float) -> bool:
    """Whether `epoch` is a power of `factor`, rounded down."""
    if epoch * (factor - 1) < 1:  # powers are less than 1 apart here: no whole number is left out
        return True
    exponent = round(math.log(epoch) / math.log(factor))
    # The logarithms are rounded, and the power may be up to 1 above the epoch: the next ones are looked at, too.
    return any(epoch <= factor**near < epoch + 1 for near in (exponent - 1, exponent, exponent + 1))


def schedule_in_words(config: Config) -> str | None:
    """What the log says of the validations of a run; None where they come at even distances."""
    if never_validates(config):
        return "never: the last checkpoint will be taken"
    if config.val_schedule == "linear":
        return None
    epochs = [epoch for epoch in range(1, config.num_epochs + 1) if validates_after(epoch, config)]
    named = list(map(str, epochs if len(epochs) <= _NAMED else [*epochs[: _NAMED - 1], "...", epochs[-1]]))
    return f"after epoch{'s' * (len(epochs) > 1)} {', '.join(named)}"


def check_schedule(config: Config) -> None:
    """Raises ValueError where training is to end by what is never measured."""
    if config.until == "plateau" and never_validates(config):
        refuse(
            config,
            "until and val_interval disagree: a plateau shows in validations, and val_interval=0 means that there are "
            "none",
            {"val_interval": 1},
            {"val_schedule": "exponential"},
            {"until": "epochs"},
        )


def idle_keys(config: Config) -> list[str]:
    """What a config asks for that only validations can do, where it has none: a line each, for the log."""
    if not never_validates(config):
        return []
    lines = []
    if config.strict_monitors:
        lines.append("strict_monitors ends nothing: alarms are raised in validations, and val_interval=0 means none")
    for name, evaluation in config.evaluations.items():
        if evaluation is not None and "test" not in evaluation.when and not config.validate_before:
            lines.append(
                f"evaluations.{name} is never done: its `when` has validation alone, and val_interval=0 means none"
            )
    return lines
