"""Evaluation windows that are read once: validation after validation, and for the encoder and its floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoding import evaluation_batches
from protocols.encoding_in_shares import Teller


class WindowMemory:
    """Keeps what was read as long as it fits; what was used longest ago goes first.

    Reading is most of a short validation: starting processes, and decoding. What is kept is uint8, as it was read.

    Args:
        megabytes: that all windows together may take; what is larger is read anew each time. 0 keeps nothing.
    """

    def __init__(self, megabytes: int) -> None:
        self._limit = megabytes * 10**6
        self._kept: dict[object, list[Batch]] = {}  # in the order of use

    def has(self, key: object) -> bool:
        """Whether `batches` would answer from memory."""
        return (key, (0, 1)) in self._kept

    def batches(
        self,
        key: object,
        catalog: Catalog,
        config: Config,
        bad_videos: BadVideos | Teller,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """As `evaluation_batches`; a `key` that was asked for before may be answered from memory.

        Args:
            key: names the rows of `catalog` and the windows of `config` among all that this memory is asked for.
            catalog: the videos.
            config: which windows of them, and how they are read.
            bad_videos: is told what cannot be read, the first time.
            share: as for `evaluation_batches`.
        """
        key = key, share
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
            yield from self._kept[key]
            return
        fits = self._expected_bytes(catalog, config) <= self._limit
        read: list[Batch] = []
        for batch in evaluation_batches(catalog, config, bad_videos, share=share):
            if fits:
                read.append(_copy(batch))
            yield batch
        if fits:
            self._keep(key, read)

    def _expected_bytes(self, catalog: Catalog, config: Config) -> int:
        height, width = config.read_size
        windows = len(catalog.table) * config.window.eval_windows
        return windows * config.window.length * height * width * 3

    def _keep(self, key: object, read: list[Batch]) -> None:
        self._kept[key] = read
        while sum(_bytes(batches) for batches in self._kept.values()) > self._limit:
            del self._kept[next(iter(self._kept))]


def _copy(batch: Batch) -> Batch:
    """The batch outside of the memory that is shared with the processes that read it, of which there may be little."""
    return replace(
        batch, video_BTCHW=batch.video_BTCHW.clone(), row_B=batch.row_B.clone(), frames_BT=batch.frames_BT.clone()
    )


def _bytes(batches: list[Batch]) -> int:
    return sum(batch.video_BTCHW.nbytes for batch in batches)
