"""Videos of a download by their names: official lists name them without the folder that one has put them in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from config.errors import InputError
from data_utils.prepare.disk import files_below


class VideoIndex:
    """All files of a folder by name without extension."""

    def __init__(self, raw: Path, folder: Path, extensions: Sequence[str], leave_out: Path | None) -> None:
        """Walks once over the folder.

        Args:
            raw: what paths are relative to.
            folder: holds the videos, in folders of any depth.
            extensions: of the files to index, lower case.
            leave_out: folder that is no part of the download; None: there is none.

        Raises:
            InputError: `folder` is not inside `raw`, or cannot be read.
        """
        self.raw, self.folder = raw, folder
        below = Path(os.path.relpath(folder, raw)).as_posix()
        if below.split("/")[0] == "..":
            raise InputError(f"{folder} is not inside {raw}; set --raw to the folder that holds it")
        self.prefix = "" if below == "." else f"{below}/"
        self.paths = [self.prefix + path for path in files_below(folder, extensions, leave_out)]

    @cached_property
    def _exact(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.paths:
            found.setdefault(stem(path), []).append(path)
        return found

    @cached_property
    def _any_case(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, paths in self._exact.items():
            found.setdefault(name.lower(), []).extend(paths)
        return {name: sorted(paths) for name, paths in found.items()}

    def named(self, name: str) -> list[str]:
        """The files whose name without extension is `name`, in the order of their paths."""
        return self._exact.get(name, [])

    def alike(self, name: str) -> list[str]:
        """The files of that name; where there are none, those of that name in another case."""
        return self.named(name) or self._any_case.get(name.lower(), [])

    def find(self, name: str) -> str | None:
        """The file whose name without extension is `name`, in another case if need be; None where there is none.

        Raises:
            InputError: there are several.
        """
        paths = self.alike(name)
        if len(paths) > 1:
            raise InputError(
                f"{self.raw}: {paths[0]} and {paths[1]} have one name; choose a folder that holds one of them"
            )
        return paths[0] if paths else None

    def unlisted(self, used: Iterable[str | None]) -> list[str]:
        """A note on the files that are not used, where there are any."""
        left = sorted(set(self.paths) - {path for path in used if path is not None})
        return [f"{len(left)} other files of the folder are left out, such as {left[0]!a}"] if left else []


def stem(path: str) -> str:
    """The name of a file without folder and extension."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name
