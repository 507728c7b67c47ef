from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.schema import Config
from data_utils.batches.frame_reader import reader_for
from data_utils.catalog.catalog import Catalog
from data_utils.video_files.decoding import VideoError
from tests.data_utils.formats.stored_videos import store

SIZE = (32, 48)


@pytest.mark.parametrize("format", ["packed", "frames", "hdf5", "video"])
def test_the_catalogs_format_decides(
    format: str,
    tmp_path: Path,
    make_config: Callable[..., Config],
    write_video: Callable[..., Path],
    number_of: Callable[[NDArray[np.uint8]], int],
) -> None:
    if format == "video":
        places = ["a.mp4"]
        write_video(tmp_path / "a.mp4", 6)
    else:
        places = store(format, tmp_path, {"a.mp4": (6, *SIZE)})
    facts = {"frames": [6], "height": [32], "width": [48], "fps": [25.0]}
    table = pd.DataFrame({"path": ["a.mp4"], **facts, "stored": places})
    catalog = Catalog("train", tmp_path, table, {}, 1, format=format)  # type: ignore[arg-type]
    reader = reader_for(catalog, make_config(tmp_path))
    indices = np.array([5, 0, 3])
    frames = reader.read(tmp_path / catalog.stored[0], indices, SIZE)
    assert [number_of(frame) for frame in frames] == indices.tolist()


@pytest.mark.parametrize("format", ["packed", "hdf5"])
def test_a_shard_that_holds_another_video_is_refused(
    format: str, tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    places = store(format, tmp_path, {"a.mp4": (6, *SIZE), "ü.mp4": (6, *SIZE), "c.mp4": (6, *SIZE)})
    facts = {"frames": [6] * 3, "height": [32] * 3, "width": [48] * 3, "fps": [25.0] * 3}
    table = pd.DataFrame({"path": ["c.mp4", "ü.mp4", "a.mp4"], **facts, "stored": places})
    catalog = Catalog("train", tmp_path, table, {}, 3, format=format)  # type: ignore[arg-type]
    reader = reader_for(catalog, make_config(tmp_path))
    assert reader.read(tmp_path / places[1], np.array([0]), SIZE).shape == (1, *SIZE, 3)
    for place in (places[0], places[2]):
        with pytest.raises(VideoError, match=r"#\d is another video; CSV files and shards are not of one preparation"):
            reader.read(tmp_path / place, np.array([0]), SIZE)
