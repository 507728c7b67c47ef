"""One question to every kind of storage: give me these frames of this video."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from config.data import DataConfig
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.dataset_card import catalog_folder, read_card


class FrameReader(Protocol):
    """The contract of a storage format."""

    def read(self, path: str | Path, indices: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Frames of a video as upright RGB, scaled to cover `size` and cut to its centre.

        Args:
            path: the video.
            indices: [T], positions in presentation order; may repeat, need not be sorted.
            size: height and width of the result.

        Returns:
            [T, H, W, 3].

        Raises:
            VideoError: the video cannot be opened, is damaged, or has fewer frames than asked for.
            ValueError: an index is negative.
        """
        ...


def reader_for(catalog: Catalog, data: DataConfig) -> FrameReader:
    """The reader of the catalog's storage format.

    Args:
        catalog: its `format` decides.
        data: `video_decoder`.

    Raises:
        InputError: the decoder that the config names does not load.
    """
    from data_utils.formats.numbers_by_path import NumbersByPath, hashes_of

    root, stored = str(catalog.root), catalog.stored
    if catalog.format == "frames":
        from data_utils.formats.frames import FramesReader

        return FramesReader()
    if catalog.format != "video":
        from data_utils.formats.hdf5 import HDF5Reader
        from data_utils.formats.packed import PackedReader

        paths = NumbersByPath(root, stored, hashes_of(catalog.table["path"].to_numpy(object)))
        return PackedReader(paths=paths) if catalog.format == "packed" else HDF5Reader(paths=paths)
    from data_utils.formats.video import VideoReader
    from data_utils.video_files.decoders.choice import decoder_for

    points = {str(catalog.root / path): points for path, points in catalog.seek_points.items()}
    counts = NumbersByPath(root, stored, catalog.table["frames"])
    return VideoReader(points, decoder_for(data.video_decoder), counts)


def describe_reading(data: DataConfig) -> dict[str, str]:
    """The storage format of the config's dataset and, of video files, what decodes them in which version.

    Raises:
        InputError: the decoder that the config names does not load, or `dataset.json` cannot be read.
    """
    card = read_card(catalog_folder(data))
    if card is not None and card.format != "video":
        return {"format": card.format}
    from data_utils.video_files.decoders.choice import describe_decoder

    return {"format": "video"} | describe_decoder(data.video_decoder)
