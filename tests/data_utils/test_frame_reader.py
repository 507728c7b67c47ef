from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from config.schema import Config
from data_utils.catalog import Catalog
from data_utils.frame_reader import reader_for
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
