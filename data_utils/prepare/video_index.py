"""Videos of a download by their names: official lists name them without the folder that one has put them in."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from config.errors import InputError
from data_utils.prepare.disk import VIDEO_EXTENSIONS, files_below
from data_utils.prepare.sources import Recognition
from data_utils.video_files.frame_folders import is_image


class VideoIndex:
    """All files of a folder by name without extension."""

    def __init__(self, raw: Path, folder: Path, extensions: Sequence[str], leave_out: Path | None) -> None:
        """Walks once over the folder; opens nothing.

        Args:
            raw: what paths are relative to.
            folder: holds the videos, in folders of any depth.
            extensions: of the files to index, lower case.
            leave_out: folder that is not part of the download; None: there is none.

        Raises:
            InputError: `folder` is not inside `raw`, or cannot be read.
        """
        self.raw, self.folder = raw, folder
        below = Path(os.path.relpath(folder, raw)).as_posix()
        if below.split("/")[0] == "..":
            raise InputError(f"{folder} is not inside {raw}; set --raw to the folder that holds it")
        self.prefix = "" if below == "." else f"{below}/"
        self.paths: list[str] = []
        self._unnamed: dict[str, list[str]] = {}  # files whose extension says nothing, by name
        looks_for_videos = tuple(extensions) == VIDEO_EXTENSIONS
        for path in files_below(folder, ("",), leave_out):
            if path.lower().endswith(tuple(extensions)):
                self.paths.append(self.prefix + path)
            elif looks_for_videos and not is_image(path):
                self._unnamed.setdefault(stem(path), []).append(self.prefix + path)
        self._is_video = Recognition()
        weakref.finalize(self, self._is_video.close)

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
        """The files whose name without extension is `name`, in the order of their paths.

        Where none has the extension of a video, those count that FFmpeg opens as one.
        """
        if name in self._exact or name not in self._unnamed:
            return self._exact.get(name, [])
        self._exact[name] = [path for path in self._unnamed[name] if self._is_video(self.raw / path)]
        return self._exact[name]

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


def stem(path: str) -> str:
    """The name of a file without folder and extension."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name
