"""A process that inspects videos for us and may die doing so."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data_utils.video_files.helper_process import ClosedError, HelperError, HelperProcess
from data_utils.video_files.inspection import VideoFacts

COMMAND = (sys.executable, "-m", "data_utils.video_files.inspection")


class Inspector:
    """One decoding process, started when it is needed, and again after a file has killed it.

    `inspect` belongs to one thread; `close` may be called from any.
    """

    def __init__(self, patience: float, command: Sequence[str] = COMMAND) -> None:
        """`patience`: seconds without a decoded packet after which the process counts as hanging and is killed."""
        self._process = HelperProcess(patience, command, "verifies videos")

    def inspect(self, path: Path) -> VideoFacts | str:
        """The file's facts, or the reason why it is bad.

        Raises:
            FaultError: this program is at fault, and not the file.
            RuntimeError: the process does not start.
        """
        try:
            answer = self._process.ask(os.fspath(path.absolute()))
        except ClosedError:
            return "not verified"
        except HelperError as error:
            return str(error)
        return str(answer["reason"]) if "reason" in answer else VideoFacts.from_list(answer["facts"])

    def is_video(self, path: Path) -> bool:
        """Whether FFmpeg opens a file as a video and decodes a frame of it; False where it crashes or hangs.

        Raises:
            RuntimeError: the process does not start.
        """
        try:
            return bool(self._process.ask({"is_video": os.fspath(path.absolute())})["is_video"])
        except (ClosedError, HelperError):
            return False

    def close(self) -> None:
        """Ends the process; none is started afterwards."""
        self._process.close()
