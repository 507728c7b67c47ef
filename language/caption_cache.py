"""What a frozen text encoder makes of captions, kept on a disk: the same few captions come by at every step.

One SQLite file for each encoder and length of captions, which any number of runs may read and fill at once. A caption
is the key; an entry is never changed. What is given out is a copy, so that whoever changes it changes nothing here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from config.errors import InputError
from language.text_encoder import Encoded, TextEncoder, check_texts

_SECONDS = 60.0  # to wait for another run that is writing
_MEMORY = 500_000_000  # bytes of entries that are kept in memory once they were read


@dataclass(frozen=True)
class CaptionBatch:
    """Captions as tensors, padded to one length L; as the cache gives them, on the CPU."""

    ids_BL: Tensor
    """int64 numbers of tokens."""
    shown_BL: Tensor
    """bool, False for padding."""
    states_BLT: Tensor
    """float32, the encoder's last hidden states; 0 for padding."""

    def to(self, device: torch.device) -> CaptionBatch:
        """The same captions on another device."""
        return CaptionBatch(self.ids_BL.to(device), self.shown_BL.to(device), self.states_BLT.to(device))


class CaptionCache:
    """Encodes captions, each once.

    Args:
        encoder: what encodes them.
        folder: of the files; made where it is missing.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, encoder: TextEncoder, folder: Path) -> None:
        self.encoder = encoder
        self.file = folder / f"{encoder.fingerprint}-{encoder.max_tokens}.sqlite"
        self._known: dict[str, Encoded] = {}
        self._bytes = 0
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            with self._database() as database:
                columns = "caption TEXT PRIMARY KEY, ids BLOB, states BLOB"
                database.execute(f"CREATE TABLE IF NOT EXISTS captions ({columns})")

    def batch(self, captions: Sequence[str]) -> CaptionBatch:
        """Captions as tensors; an empty one is [CLS] alone. InputError: the file is damaged, or cannot be written."""
        check_texts(captions)
        entries = self._entries(dict.fromkeys(captions))
        shape = len(captions), self.encoder.max_tokens
        ids_BL = np.full(shape, self.encoder.pad, np.int64)
        shown_BL = np.zeros(shape, np.bool_)
        states_BLT = np.zeros((*shape, self.encoder.dim), np.float32)
        for row, caption in enumerate(captions):
            entry = entries[caption]
            count = len(entry.ids_N)
            ids_BL[row, :count], shown_BL[row, :count] = entry.ids_N, True
            states_BLT[row, :count] = entry.states_ND
        return CaptionBatch(torch.from_numpy(ids_BL), torch.from_numpy(shown_BL), torch.from_numpy(states_BLT))

    def _entries(self, captions: dict[str, None]) -> dict[str, Encoded]:
        """The entry of each caption: from memory, from the file, or encoded now and then in the file."""
        found = {caption: self._known[caption] for caption in captions if caption in self._known}
        unread = [caption for caption in captions if caption not in found]
        if not unread:
            return found
        with self._told(), self._database() as database:
            for caption in unread:
                query = "SELECT ids, states FROM captions WHERE caption = ?"
                row = database.execute(query, (caption,)).fetchone()
                if row is not None:
                    ids, states = row
                    self._keep(found, caption, _read(ids, states, self.encoder.dim))
            missing = {caption: self.encoder.encode(caption) for caption in unread if caption not in found}
            rows = [(caption, entry.ids_N.tobytes(), entry.states_ND.tobytes()) for caption, entry in missing.items()]
            database.executemany("INSERT OR IGNORE INTO captions VALUES (?, ?, ?)", rows)
        for caption, entry in missing.items():
            self._keep(found, caption, entry)
        return found

    def _keep(self, found: dict[str, Encoded], caption: str, entry: Encoded) -> None:
        found[caption] = entry
        if self._bytes < _MEMORY:
            self._known[caption] = entry
            self._bytes += entry.states_ND.nbytes + 4 * len(entry.ids_N) + len(caption)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes count when the block ends; one for each use, as processes may be forked."""
        database = sqlite3.connect(self.file, timeout=_SECONDS)
        try:
            with database:
                yield database
        finally:
            database.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns errors of the disk and of the file into one line."""
        try:
            yield
        except (OSError, sqlite3.Error, ValueError) as error:
            raise InputError(
                f"the captions' file {self.file} cannot be used: {error}; remove it if it is damaged, or set "
                "text.cache to another folder"
            ) from error


def _read(ids: bytes, states: bytes, dim: int) -> Encoded:
    """An entry as it stands in the file; ValueError where it is damaged."""
    ids_N = np.frombuffer(ids, np.int32)
    return Encoded(ids_N, np.frombuffer(states, np.float16).reshape(len(ids_N), dim))
