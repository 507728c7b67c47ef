"""Videos that could not be read are listed, never silently replaced, and too many of them end the run."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from config.errors import InputError

COLUMNS = ("split", "path", "reason")
_HEADER = (*COLUMNS, "dataset")  # a run may read several

logger = logging.getLogger(__name__)


class BadVideos:
    """`bad_videos.csv`: one row for each video that could not be read, the first reason counts.

    One object is about one dataset, and several may write the same file. Rows of an earlier part of the run are kept:
    whoever opens the list anew goes on where it ended.
    """

    def __init__(self, file: Path, total: int, max_share: float, dataset: str) -> None:
        """Opens the list and writes its header where it is new.

        Args:
            file: the CSV; its folder must exist.
            total: videos in all splits, bad ones included.
            max_share: share of `total` that may be bad.
            dataset: what the list calls the dataset.

        Raises:
            InputError: the file cannot be read or written.
        """
        self._file, self._total, self._max_share, self._dataset = file, total, max_share, dataset
        self._reasons: dict[tuple[str, str], str] = {}
        try:
            if file.exists():
                own = [row for row in _rows(file) if row["dataset"] == dataset]
                self._reasons = {(row["split"], row["path"]): row["reason"] for row in own}
            else:
                _append(self._file, [_HEADER])
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}; fix its permissions or remove it") from error

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, videos: Iterable[tuple[str, str, str]]) -> int:
        """Lists (split, path, reason) of videos that could not be read; known ones are passed over.

        Returns:
            How many were new.

        Raises:
            InputError: more than the allowed share is bad, or the list cannot be written.
        """
        new: dict[tuple[str, str], str] = {}
        for split, path, reason in videos:
            if (split, path) not in self._reasons:
                new.setdefault((split, path), reason)
        if new:
            self._reasons |= new
            _append(self._file, [(*key, reason, self._dataset) for key, reason in new.items()])
            (_, path), reason = next(iter(new.items()))
            who = "1 video" if len(new) == 1 else f"{len(new)} videos, the first"
            logger.warning("cannot be read and left out: %s: %s (%s); see %s", who, path, reason, self._file)
        if len(self._reasons) > self._max_share * self._total:
            reason, count = Counter(self._reasons.values()).most_common(1)[0]
            raise InputError(
                f"{len(self._reasons)} of {self._total} videos cannot be read, more than max_bad_videos="
                f"{self._max_share:g} allows; {count} of them: {reason}; {self._file} lists them: repair or remove "
                "them, or raise max_bad_videos"
            )
        return len(new)


def forget(file: Path, dataset: str) -> None:
    """Takes what the list says of a dataset out of it: the dataset is looked at anew.

    Raises:
        InputError: the file cannot be read or written.
    """
    try:
        if not file.exists():
            return
        others = [row for row in _rows(file) if row["dataset"] not in ("", dataset)]
        file.unlink()
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error
    if others:
        _append(file, [_HEADER, *(tuple(row[column] for column in _HEADER) for row in others)])


def _append(file: Path, rows: Iterable[tuple[str, ...]]) -> None:
    try:
        with file.open("a", newline="", encoding="utf-8", errors="surrogateescape") as lines:
            csv.writer(lines, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from error


def _rows(file: Path) -> list[dict[str, str]]:
    """The rows of a list; those of an earlier version name no dataset. InputError: it is not such a list."""
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        reader = csv.DictReader(lines)
        try:
            rows = [{"dataset": ""} | row for row in reader]
        except csv.Error:
            rows = []
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise InputError(f"{file} is not a list of bad videos ({','.join(COLUMNS)}); remove it")
    return rows
