"""A killed process leaves a torn last line, and a resumed one repeats steps: then curves double or cannot be read.

`metrics.jsonl` holds one JSON object per line. Opening it repairs a torn end; `drop_after` removes what a resumed
run will log again.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from config.errors import InputError
from runs.process.atomic import atomic_write, plain

if TYPE_CHECKING:
    from runs.tracking.tracking import Tracking

logger = logging.getLogger(__name__)


class MetricLog:
    """Appends records to a JSON-lines file, each flushed at once."""

    def __init__(self, path: Path, tracking: Tracking | None = None) -> None:
        """Open `path` for appending; a torn last line is removed first.

        Args:
            path: the file.
            tracking: is told every record, too.

        Raises:
            InputError: the file cannot be written, or is damaged before its last line.
        """
        self._path, self._tracking = path, tracking
        self._unwritten: list[str] = []
        if path.exists():
            self._rewrite(self.read(path))
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error

    def write(self, kind: str, **values: Any) -> None:
        """Append `{"kind": kind, **values}`: floats to 6 significant digits, NaN and inf as null.

        A line that cannot be written (disk full) ends no training: it is told once, kept, and written later.

        Raises:
            TypeError: a value is nothing that JSON can hold.
        """
        record = plain({"kind": kind, **values})
        line = json.dumps(record, allow_nan=False)
        told = bool(self._unwritten)
        self._unwritten.append(line + "\n")
        try:
            self._flush()
        except OSError as error:
            if not told:
                logger.warning(
                    "cannot write %s: %s; its lines are kept in memory until that is possible: free the disk",
                    self._path,
                    error.strerror or error,
                )
        if self._tracking:
            self._tracking.record(record)

    def drop_after(self, step: int, epoch: int, stage: int | None = None) -> None:
        """Remove what a run will do again that is resumed from a checkpoint.

        Args:
            step: of the checkpoint. Its own record stays, since a checkpoint is saved after the lines of its step.
            epoch: that the checkpoint has ended: a validation of a later one is done again.
            stage: of the checkpoint; what a later stage has begun with is done again.
        """

        def stays(record: dict[str, Any]) -> bool:
            again = record.get("kind") == "validation" and record.get("epoch", epoch) > epoch
            again = again or (stage is not None and record.get("stage", stage) > stage)
            return not again and record.get("step", step) <= step

        self._file.close()
        kept = [record for record in self.read(self._path) if stays(record)]
        self._rewrite(kept)
        self._file = self._path.open("ab", buffering=0)
        if self._tracking:
            self._tracking.continue_after(kept)

    def records(self) -> list[dict[str, Any]]:
        """All records, those included that could not be written yet."""
        return self.read(self._path) + [json.loads(line) for line in self._unwritten]

    def close(self) -> None:
        """Close the file; what still cannot be written is told."""
        try:
            self._flush()
        except OSError as error:
            logger.warning(
                "cannot write %s: %s; %d lines are lost", self._path, error.strerror or error, len(self._unwritten)
            )
        with suppress(OSError):
            self._file.close()

    def _flush(self) -> None:
        """Writes what is not written yet, or nothing of it. Raises OSError."""
        if not self._unwritten:
            return
        end = self._file.seek(0, os.SEEK_END)
        left = "".join(self._unwritten).encode()
        try:
            while left:  # a disk that fills up takes a part first
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(end)
            raise
        self._unwritten.clear()

    def __enter__(self) -> MetricLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """All records of `path`; a torn last line is left out.

        Raises:
            InputError: the file cannot be read, or another line than the last one is damaged.
        """
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
            except ValueError as error:
                if number == len(lines):
                    break
                raise InputError(f"{path}: line {number} is damaged ({error}); remove that line") from error
            records.append(record)
        return records

    def _rewrite(self, records: list[dict[str, Any]]) -> None:
        with atomic_write(self._path) as file:
            for record in records:
                file.write((json.dumps(record) + "\n").encode())
