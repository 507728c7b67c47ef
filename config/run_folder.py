"""Where a config's run lies: `python -m config.run_folder CONFIG [key=value ...]` prints its folder, for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from config.errors import InputError
from config.load import load_config
from config.places import place


def main(arguments: Sequence[str]) -> int:
    """Prints the folder. Returns the exit status: 0, or 2 for bad input."""
    if not arguments:
        print("error: expected CONFIG [key=value ...]", file=sys.stderr)
        return 2
    try:
        config = load_config(arguments[0], arguments[1:]).config
        print(place(config.save_path, "save_path") / str(config.model_name))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
