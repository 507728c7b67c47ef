"""A killed process leaves a torn last line, and a resumed one repeats steps: then curves double or cannot be read.

`metrics.jsonl` holds one JSON object per line. Opening it mends a torn end; `drop_after` takes back what a resumed run
will log again.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from config.errors import InputError
from runs.atomic import atomic_write, plain


class MetricLog:
    """Appends records to a JSON-lines file, each flushed at once."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; a torn last line is removed first.

        Raises:
            InputError: the file cannot be written, or is damaged before its last line.
        """
        self._path = path
        if path.exists():
            self._rewrite(self.read(path))
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error

    def write(self, kind: str, **values: Any) -> None:
        """Append `{"kind": kind, **values}`: floats to 6 significant digits, NaN and inf as null.

        Raises:
            InputError: the line cannot be written (disk full).
            TypeError: a value is nothing that JSON can hold.
        """
        line = json.dumps(plain({"kind": kind, **values}), allow_nan=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror or error}; free the disk") from error

    def drop_after(self, step: int) -> None:
        """Remove the records of steps beyond `step`, the step of the checkpoint that a run is resumed from.

        Records of `step` itself stay: a checkpoint is saved after the lines of its step are written. Records without
        a step stay, too.
        """
        self._file.close()
        self._rewrite([record for record in self.read(self._path) if record.get("step", step) <= step])
        self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

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
