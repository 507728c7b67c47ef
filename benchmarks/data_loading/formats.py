"""Our formats as contenders of benchmarks.data_loading, and what each of them costs."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from torch import Tensor

from benchmarks.data_loading.data import Loading, Place
from config.errors import InputError
from data_utils.batches.frame_reader import reader_for
from data_utils.batches.loader import Loader
from data_utils.catalog.catalog import Catalog

DECODERS = ("torchcodec", "pyav", "decord", "opencv")
_DRAWS = 200


class Prepared:
    """A prepared dataset behind our Loader."""

    def __init__(self, place: Place, size: tuple[int, int], loading: Loading, decoder: str = "auto") -> None:
        """Opens the catalog; the processes start with the first batch."""
        self.place, self._size = place, size
        self._config = place.config(size, loading, decoder)
        self.catalog: Catalog = place.open(self._config)
        self._loader = Loader(self.catalog, self._config, loading.batch_size, self._config.seed, training=True)

    @property
    def limit(self) -> int:
        """Batches that a turn can have: those of an epoch."""
        return len(self._loader)

    def batches(self, turn: int, count: int) -> Iterator[Tensor]:
        """The last batches of the turn's epoch."""
        for batch in self._loader.epoch(turn, self.limit - count):
            if batch.failed:
                raise RuntimeError(f"could not be read: {batch.failed[0]}")
            yield batch.video_BTCHW

    def close(self) -> None:
        """Ends the processes."""
        self._loader.close()

    def random_access(self) -> tuple[float, float]:
        """Milliseconds for one frame at a random place of a random video: by a new reader, by one that is kept."""
        reader = reader_for(self.catalog, self._config)
        new = pickle.dumps(reader)
        generator = np.random.default_rng(0)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_DRAWS):
            for kept, spent in zip((False, True), times, strict=True):
                row = generator.integers(len(self.catalog.table))
                index = generator.integers(self.catalog.table["frames"].iloc[row], size=1)
                asked = reader if kept else pickle.loads(new)
                began = time.perf_counter()
                asked.read(self.place.root / self.catalog.stored[row], index, self._size)
                spent.append(1000 * (time.perf_counter() - began))
        return median(times[0]), median(times[1])


def loading_decoders(place: Place, loading: Loading) -> list[str]:
    """The video decoders that load on this machine."""
    names = []
    for name in DECODERS:
        config = place.config((16, 16), loading, name)
        try:
            reader_for(place.open(config), config)
        except InputError:
            continue
        names.append(name)
    return names


def format_rows(kinds: Mapping[str, Prepared], per_core: Mapping[str, Sequence[float]], total_frames: int) -> list[str]:
    """The table of what formats cost, in Markdown. `total_frames`: of all videos of all splits."""
    lines = [
        "| format | bytes per frame | frames/s per core | one random frame, new reader, ms | reader kept, ms |",
        "|---|---|---|---|---|",
    ]
    for name, kind in kinds.items():
        new, kept = kind.random_access()
        size = bytes_on_disk(kind.place.root) / total_frames
        lines.append(f"| {name} | {size:,.0f} | {median(per_core[name]):,.0f} | {new:.2f} | {kept:.2f} |")
    return lines


def bytes_on_disk(folder: Path) -> int:
    """Disk space that a folder's files take, including the rest of their last blocks."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
