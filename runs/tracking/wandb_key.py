"""The key of W&B: where it is found, and that it stays there. Whoever reads it can change all of a user's runs."""

from __future__ import annotations

import os
from pathlib import Path

from config.errors import InputError
from config.places import place
from runs.tracking.settings import WandbSettings

VARIABLE = "WANDB_API_KEY"
DEFAULT_FILE = Path(__file__).resolve().parents[2] / "wandb.key"


def find_key(settings: WandbSettings) -> str | None:
    """The key, from the environment or else from a file; None where there is none, or none is needed.

    Raises:
        InputError: `key_file` cannot be read or holds no key, or `mode: online` finds no key.
    """
    if settings.mode == "offline":
        return None
    key = os.environ.get(VARIABLE, "").strip() or _from_file(settings.key_file)
    if key is None and settings.mode == "online":
        raise InputError(
            f"wandb.mode is online, but there is no W&B key: set {VARIABLE}, or write the key into {DEFAULT_FILE}, or "
            "give wandb.mode=offline"
        )
    return key


def _from_file(given: str | None) -> str | None:
    path = DEFAULT_FILE if given is None else place(given, "wandb.key_file")
    try:
        key = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if given is None:
            return None
        raise InputError(f"wandb.key_file: {path} does not exist; write the key into it, or set {VARIABLE}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot read the W&B key from {path}: {reason}") from None
    if not key or len(key.split()) > 1:
        raise InputError(f"{path} must hold the W&B key and nothing else")
    return key


def refuse_key_in(text: str, key: str, where: str) -> None:
    """Raises InputError, which does not repeat it, where a key stands in a text that a run folder would keep."""
    if key in text:
        raise InputError(f"the W&B key stands in {where}, which the run folder would keep a copy of; take it out there")
