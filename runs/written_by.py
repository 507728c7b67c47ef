"""Which program wrote a checkpoint: one that this program cannot read is told as that, and not as damage."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from config.errors import InputError

logger = logging.getLogger(__name__)

FORMAT = 2
"""The number of the checkpoints' format; it grows where an earlier program could not go on from one. 1: not given."""


def written_by(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of the program that writes it.

    Args:
        environment: what environment.json says.
    """
    git = environment.get("git") or {}
    versions = {"torch": str(torch.__version__), "python": platform.python_version()}
    return {"format": FORMAT, "commit": git.get("commit")} | versions


def check_written_by(state: Mapping[str, Any], path: Path) -> None:
    """Raises InputError where a newer version of the program wrote the checkpoint."""
    by = state.get("written_by") or {}
    if by.get("format", 1) > FORMAT:
        commit = f" (commit {by['commit'][:12]})" if by.get("commit") else ""
        raise InputError(
            f"{path} was written by a newer version of this program{commit}: its format is {by['format']}, and this "
            f"version reads up to {FORMAT}; use that version"
        )


def tell_other_torch(state: Mapping[str, Any], path: Path) -> None:
    """Warns where another version of torch wrote the checkpoint: sums may differ in their last bits."""
    then = (state.get("written_by") or {}).get("torch")
    if then not in (None, str(torch.__version__)):
        logger.warning(
            "%s was written with torch %s, and this is %s: the run goes on, but no longer bit by bit as it would have",
            *(path, then, torch.__version__),
        )
