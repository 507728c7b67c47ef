"""The checkpoints beside last.pt and best.pt: one damaged file, or one bad choice, must not cost the whole run.

Before last.pt is replaced, the old one stays as `last_STEP.pt`; and so with best.pt. STEP counts the steps of the run,
those of earlier stages included.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path


def numbered(path: Path, step: int) -> Path:
    """Where the checkpoint of `step` stays that was once `path`: last.pt or best.pt."""
    return path.with_name(f"{path.stem}_{step}{path.suffix}")


def numbered_steps(path: Path) -> list[int]:
    """The steps of the checkpoints that stay beside `path`, the latest first."""
    pattern = re.compile(rf"{re.escape(path.stem)}_(\d+){re.escape(path.suffix)}")
    names = (pattern.fullmatch(file.name) for file in path.parent.glob(f"{path.stem}_*{path.suffix}"))
    return sorted((int(name[1]) for name in names if name), reverse=True)


def keep(path: Path, step: int) -> None:
    """Lets the file stay under its step as well. Raises OSError."""
    kept = numbered(path, step)
    # In two steps, so that a kill leaves the whole file or none.
    temporary = kept.with_name(f".{kept.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)  # takes no room until `path` is replaced
    except OSError:  # a file system without links
        shutil.copyfile(path, temporary)
    temporary.replace(kept)
    temporary.unlink(missing_ok=True)  # where both are the same file, as after a kill right here, it was not renamed


def drop_others(path: Path, steps: Collection[int]) -> None:
    """Removes the numbered checkpoints beside `path` but those of `steps`. Raises OSError."""
    for step in numbered_steps(path):
        if step not in steps:
            numbered(path, step).unlink(missing_ok=True)
