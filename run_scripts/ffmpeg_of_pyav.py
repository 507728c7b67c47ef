"""Lets torchcodec find FFmpeg where the system has none: PyAV brings the same shared libraries, under names of its own.

    LD_LIBRARY_PATH=$(.venv/bin/python run_scripts/ffmpeg_of_pyav.py) .venv/bin/python ...

Links them under their plain names into a folder of the environment that runs this, and prints the folder.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

# libavcodec-5e6b81c2.so.62.28.102
_LIBRARY = re.compile(r"(lib(?:av|sw)[a-z]+)-[0-9a-f]+(\.so\.[0-9]+)[0-9.]*")


def main() -> None:
    """Makes the links, as far as they are missing and may be made; may run several times at once."""
    folder = Path(sys.prefix) / "ffmpeg_of_pyav" / metadata.version("av")
    try:
        _link(folder)
    except OSError as error:  # such as an environment that somebody else has installed
        print(f"torchcodec gets no FFmpeg: {error}", file=sys.stderr)
    print(folder)


def _link(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in metadata.files("av") or []:
        match = _LIBRARY.fullmatch(file.name)
        if match:
            with suppress(FileExistsError):
                (folder / "".join(match.groups())).symlink_to(Path(str(file.locate())).resolve())


if __name__ == "__main__":
    main()
