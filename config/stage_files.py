"""The config of each stage of a curriculum as a file: `python -m config.stage_files CONFIG [key=value ...]`.

It writes all of them, each to continue from the run of the one before it, and prints a line per stage: the file, a tab,
and the run's folder. `run_scripts/run_curriculum.sh` starts them one after another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from config.curriculum import STAGE_CHECKPOINT
from config.errors import InputError
from config.generated import write_generated
from config.load import LoadedConfig, load_config, render_config
from config.places import place


def stage_name(curriculum: str | None, number: int) -> str:
    """The name of the run of one stage, and of its config file; `curriculum`: the `model_name`."""
    return f"{curriculum}--CLp-{number}"


def write_stage_file(stage: LoadedConfig, carry_from: Path | None) -> Path:
    """Writes the config of a stage as a run of its own.

    Args:
        stage: one of `LoadedConfig.stages`.
        carry_from: the checkpoint that it continues from; None: what its config says.

    Raises:
        InputError: see `write_generated`.
    """
    config = stage.config
    name = stage_name(config.model_name, config.stage or 1)
    start = config.carry_from if carry_from is None else str(carry_from)
    own = stage.changed(f"stage of {config.model_name}", model_name=name, resume=False, carry_from=start)
    head = f"# Stage {config.stage} of the curriculum {config.model_name} as a run of its own.\n"
    return write_generated(name, head + render_config(own), config.save_path)


def main(arguments: Sequence[str]) -> int:
    """Writes the files and prints where they are. Returns the exit status: 0, or 2 for bad input."""
    if not arguments:
        print("error: expected CONFIG [key=value ...]", file=sys.stderr)
        return 2
    try:
        loaded = load_config(arguments[0], arguments[1:])
        if not loaded.stages:
            raise InputError(f"{arguments[0]} has no stages: set use_curriculum=true and curriculum.step_1")
        runs = place(loaded.config.save_path, "save_path")
        before: Path | None = None
        for number, stage in enumerate(loaded.stages, start=1):
            run = runs / stage_name(loaded.config.model_name, number)
            print(write_stage_file(stage, before), run, sep="\t")
            before = run / STAGE_CHECKPOINT.format(number)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
