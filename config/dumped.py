"""The config that a run has stored beside its weights, as a `Config` again."""

from __future__ import annotations

from pydantic import ValidationError

from config.errors import InputError
from config.messages import first_error
from config.schema import Config


def config_of_dump(dump: object, label: str) -> Config:
    """The config of what `Config.model_dump()` gave, maybe by way of JSON.

    Args:
        dump: a mapping; anything else is an error too.
        label: where it comes from, for messages.

    Raises:
        InputError: it is not the config of a run that this version can read.
    """
    try:
        return Config.model_validate(dump)
    except ValidationError as error:
        reason = first_error(error, Config, lambda _: label)
        raise InputError(f"{label} holds no config that this version can read: {reason}") from None
