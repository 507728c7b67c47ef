"""The captions of a catalog's videos as tensors, by row: what a batch of training needs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from config.errors import InputError
from data_utils.catalog.annotations.captions import Captions
from data_utils.catalog.catalog import Catalog
from language.caption_cache import CaptionBatch, CaptionCache
from language.text_encoder import TextEncoder

logger = logging.getLogger(__name__)


def cache_folder(cache: str | None) -> Path:
    """The folder that captions are kept in: `text.cache`, or one among the user's caches."""
    if cache is not None:
        return Path(cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hierarchical-video-transformer/captions"


def open_captions(name: str, max_tokens: int, cache: str | None) -> CaptionCache:
    """A text encoder with what it made of captions earlier.

    Args:
        name: of the encoder, see `TextEncoder`.
        max_tokens: of a caption.
        cache: folder; None: the usual one.

    Raises:
        InputError: see `TextEncoder` and `CaptionCache`.
    """
    return CaptionCache(TextEncoder(name, max_tokens), cache_folder(cache))


def texts_of(catalog: Catalog, column: str) -> NDArray[np.object_]:
    """The captions of all videos [N] str; empty where there is none.

    Raises:
        InputError: the catalog has no such captions, or none of them says anything.
    """
    captions = catalog.annotations.get(column)
    if not isinstance(captions, Captions) or not captions.is_known.any():
        raise InputError(
            f"no {catalog.split} video has a caption in '{column}'; name the column of captions in text.captions, and "
            f"set dataset.annotations={{{column}: captions}}"
        )
    missing = int((~captions.is_known).sum())
    if missing:
        logger.warning("%d of %d %s videos have no caption", missing, len(captions.texts), catalog.split)
    return captions.texts


class TrainingCaptions:
    """The captions of a catalog.

    Args:
        cache: encodes them, and knows those that were encoded before.
        texts: [N], by row of the catalog.
    """

    def __init__(self, cache: CaptionCache, texts: NDArray[np.object_]) -> None:
        self.cache, self._texts = cache, texts

    def of_rows(self, rows_B: Tensor) -> CaptionBatch:
        """The captions of some videos, on the CPU; nothing else shares their memory."""
        return self.cache.batch([str(self._texts[row]) for row in rows_B.tolist()])
