"""The tokens of a level for every view of a split: what an attentive probe looks at, and too much for most memories."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from data_utils.batches.loader import Batch
from data_utils.views.views import crops_per_window, evaluation_views
from protocols.encoded_split import IntArray
from protocols.encoding import evaluation_batches
from protocols.feature_places import FeaturePlace
from protocols.split_arrays import count_views
from protocols.view_store import Shapes, ViewStore
from runs.precision import autocast_dtype
from runs.process.seeds import numpy_generator

if TYPE_CHECKING:
    from protocols.encoded import EncodedData

TokenKind = Literal["tokens", "units"]
"""What a level made of the tokens inside its units, or the summaries of its units."""

_DISK_SHARE = 0.5  # of what is free, at most, for tokens
_ORDER = 4  # keeps the stream of orders apart from other draws, see data_utils/batches/windows.py

logger = logging.getLogger(__name__)


class EncodedTokens:
    """All tokens of one level: in memory, in a file, or, where neither has room, encoded anew in every epoch.

    Args:
        data: the encoder with its dataset.
        split: the split.
        level: the level.
        kind: its tokens, or its units.
        folder: for a file; None: there is none.
    """

    def __init__(self, data: EncodedData, split: str, level: str, kind: TokenKind, folder: Path | None) -> None:
        self._data, self._split, self._level, self._kind, self._folder = data, split, level, kind, folder
        self._views = data.split(split)
        self._catalog = data.catalogs[split]
        first = next(iter(data.windows(split)))
        _, self.units, per_unit, dim = self._encode(first)[0].shape
        """Units of a view."""
        self.shape: tuple[int, int] = self.units * per_unit, dim
        """N tokens of a view, in the order of units and of tokens in them; their width D."""
        self._store = self._stored()

    def __len__(self) -> int:
        """Views."""
        return len(self._views.view_video)

    def batches(self, batch_size: int, epoch: int | None = None) -> Iterator[tuple[Tensor, IntArray]]:
        """Every view of the split once.

        Args:
            batch_size: views of a batch; of the run's batches where tokens are encoded anew.
            epoch: views come in an order that is a function of it and the seed; None: in that of the split.

        Yields:
            [B, N, D] float32 tokens, and [B] the views that they are of, indices into the arrays of the split's views.
        """
        if self._store is None:
            yield from self._anew(epoch)
            return
        tokens, order_V = self._store.arrays["tokens"], np.arange(len(self))
        if epoch is not None:
            order_V = numpy_generator(self._data.config.seed, epoch, _ORDER).permutation(order_V)
        place_V = self._places()
        for start in range(0, len(order_V), batch_size):
            view_B = order_V[start : start + batch_size]
            place_B = place_V[view_B]
            if epoch is not None:  # a file is read from front to back
                back_B = np.argsort(place_B)
                sorted_BND = np.asarray(tokens[place_B[back_B]])
                found_BND = np.empty_like(sorted_BND)
                found_BND[back_B] = sorted_BND
            else:
                found_BND = np.asarray(tokens[place_B])
            yield torch.from_numpy(np.array(found_BND, np.float32, copy=False)), view_B

    def _places(self) -> IntArray:
        """[V] where the store has each view: it has those of videos that are not scored, too."""
        assert self._store is not None
        row_T = self._store.arrays["row"][: self._store.views]
        return np.flatnonzero(np.isin(row_T, self._views.rows))

    def _stored(self) -> ViewStore | None:
        """All tokens, encoded once; None where there is no room for them."""
        data, count = self._data, count_views(self._catalog, self._data.config)
        shapes: Shapes = {"tokens": ((count, *self.shape), np.float32), "row": ((count,), np.int64)}
        size = 4 * count * self.shape[0] * self.shape[1]
        fits = size <= data.config.features_memory_mb * 10**6
        if not fits and (self._folder is None or size > _DISK_SHARE * shutil.disk_usage(_existing(self._folder)).free):
            logger.warning(
                "%s of %s take %.1f GB, for which there is no room: they are encoded anew in every epoch",
                *(self._kind, self._level, size / 1e9),
            )
            return None
        name = f"{data.name}-{self._split}-{self._kind}-{self._level}"
        place = FeaturePlace(self._folder, name, data.encoder, self._catalog, data.config, data.device)
        store = place.reopened()
        if store is not None and store.is_whole:
            return store
        if store is None:
            store = place.made(shapes)
        self._fill(store)
        return store

    def _fill(self, store: ViewStore) -> None:
        data, first, reached = self._data, store.batches, store.views
        read = data.windows(self._split)
        if first:
            read = evaluation_batches(self._catalog, data.config, data.bad_videos, first)
        for batch in read:
            tokens_BUPD, row_B, _ = self._encode(batch)
            rows = slice(reached, reached + len(row_B))
            store.arrays["tokens"][rows] = tokens_BUPD.flatten(1, 2).cpu().numpy()
            store.arrays["row"][rows] = row_B.numpy()
            reached = rows.stop
            if store.path is not None:
                store.commit(batch.number + 1, reached)
        store.end(reached)

    @torch.no_grad()
    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens [B, U, P, D] of the units of the views of a batch, their catalog rows [B] and frames [B, T]."""
        data = self._data
        dtype = autocast_dtype(data.config, data.device)
        views = evaluation_views(batch, data.config, data.device)
        was_training = data.encoder.training
        data.encoder.eval()
        with torch.autocast(data.device.type, dtype, enabled=dtype is not None):
            features, tokens = _features_and_tokens(data.encoder, views.video_BTCHW)
        data.encoder.train(was_training)
        found = tokens[self._level] if self._kind == "tokens" else features[self._level][:, :, None]
        return found.float(), views.rows_B, views.frames_BT

    def _anew(self, epoch: int | None) -> Iterator[tuple[Tensor, IntArray]]:
        """The views of a pass over the videos, in another order for each epoch."""
        data, catalog = self._data, self._catalog
        order_N = np.arange(len(catalog.table))
        if epoch is not None:
            order_N = numpy_generator(data.config.seed, epoch, _ORDER).permutation(order_N)
        crops = crops_per_window(data.config)
        views, number_of = self._views, {}
        for view in range(0, len(views.view_video), crops):
            row = int(views.rows[views.view_video[view]])
            number_of[row, views.view_frames[view].tobytes()] = view
        for batch in evaluation_batches(catalog.in_order(order_N), data.config, data.bad_videos):
            tokens_BUPD, row_B, frames_BT = self._encode(batch)
            rows, frames = order_N[row_B.numpy()], frames_BT.numpy()
            first_B = [number_of.get((int(row), of.tobytes())) for row, of in zip(rows, frames, strict=True)]
            kept = [index for index, first in enumerate(first_B) if first is not None]
            view_B = [first + index % crops for index, first in enumerate(first_B) if first is not None]
            if kept:
                yield tokens_BUPD[kept].flatten(1, 2), np.array(view_B, np.int64)


def _features_and_tokens(encoder: nn.Module, video_BTCHW: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    found: tuple[dict[str, Tensor], dict[str, Tensor]] = encoder.features_and_tokens(video_BTCHW)  # type: ignore[operator]
    return found


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
