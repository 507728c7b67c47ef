"""Start-up with a catalog of a million rows, and the memory of a loader that reads it epoch after epoch.

`python -m benchmarks.data_loading --memory` makes the data and starts this file as a program of its own, so that
nothing but what training needs is loaded:

    python -m benchmarks.data_loading.memory FOLDER EPOCHS BATCHES WORKERS
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # when what is imported is measured here
    import pandas as pd

    from data_utils.batches.loader import Loader

ROOT = Path(__file__).resolve().parents[2]
# Shards of as many videos as prepare.py puts into one, a few of them with frames of their own.
_VIDEOS, _DIFFERENT, _FRAMES, _SIZE = 64, 4, 100, (60, 80)


def measure_memory(folder: Path, rows: int, starts: int, epochs: int, batches: int, num_workers: int) -> None:
    """Prints what starting takes and what memory does."""
    make_catalog(folder, rows)
    arguments = [sys.executable, "-m", "benchmarks.data_loading.memory", str(folder)]
    times = []
    for _ in range(starts):
        ended = subprocess.run(
            [*arguments, "0", "0", str(num_workers)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        )
        times.append([float(word) for word in ended.stdout.split()])
    imports, catalogs, first = (median(values) for values in zip(*times, strict=True))
    verdict = "reached" if catalogs + first < 5 else "not reached"
    print(
        f"{rows:,} rows, median of {starts} starts: imports {imports:.1f} s; open_catalogs {catalogs:.1f} s, "
        f"Loader and first batch {first:.1f} s\n{verdict}: {catalogs + first:.1f} s without imports (target 5 s)\n",
        flush=True,
    )
    subprocess.run([*arguments, str(epochs), str(batches), str(num_workers)], cwd=ROOT, check=True)


def make_catalog(folder: Path, rows: int) -> None:
    """A prepared dataset whose training split lists `rows` videos in full shards, a few under many names."""
    import pandas as pd

    from data_utils.catalog.dataset_card import FILE_NAME, DatasetCard

    card = DatasetCard(
        name="folder", format="packed", size=_SIZE[0], mean=(0.3, 0.3, 0.3), std=(0.15, 0.15, 0.15), flip=0.0
    )
    (folder / FILE_NAME).write_text(card.model_dump_json())
    shards = -(-rows // _VIDEOS)
    tables = [_make_shard(folder, number) for number in range(min(shards, _DIFFERENT))]
    for split, part in (("val", tables[0][::2]), ("test", tables[0][1::2])):
        part.to_csv(folder / f"{split}.csv", index=False)
    parts = []
    for number in range(shards):
        table = tables[number % len(tables)]
        shard = table["stored"].iloc[0].partition("#")[0]
        name = str(Path(shard).with_name(f"again_{number:05d}{Path(shard).suffix}"))
        (folder / name).hardlink_to(folder / shard)
        again = {"path": f"again/{number:05d}/" + table["path"], "stored": name + table["stored"].str[len(shard) :]}
        parts.append(table.assign(**again))
    pd.concat(parts)[:rows].to_csv(folder / "train.csv", index=False)


def _make_shard(folder: Path, number: int) -> pd.DataFrame:
    """Writes a shard of videos with moving textures, and gives their rows."""
    import pandas as pd

    from benchmarks.data_loading.videos import RATE, textures
    from data_utils.formats import packed

    paths = [f"{number}/{video}.mp4" for video in range(_VIDEOS)]
    parts = [folder / f"{video}{packed.PART_SUFFIX}" for video in range(_VIDEOS)]
    pictures = itertools.cycle(list(itertools.islice(textures(number, _SIZE), 4 * _FRAMES)))
    for part in parts:
        packed.write_part(part, itertools.islice(pictures, _FRAMES), RATE)
    stored = packed.finish(list(zip(paths, parts, strict=True)), folder, number)
    facts = {"frames": _FRAMES, "height": _SIZE[0], "width": _SIZE[1], "fps": RATE}
    return pd.DataFrame({"path": paths, "label": [f"class {video % 2}" for video in range(_VIDEOS)]} | facts).assign(
        stored=stored
    )


def print_memory(loader: Loader, epochs: int, batches: int) -> None:
    """Memory after every epoch, of which the last `batches` batches are read; the order is drawn over all of it."""
    batches = min(batches, len(loader))
    print(
        f"memory (PSS without file pages) after each epoch: {batches} of {len(loader):,} batches read, "
        "the order drawn of all\n"
    )
    print("| epoch | main process, MB | workers, MB | sum, MB | against epoch 1 |\n|---|---|---|---|---|")
    sums: list[float] = []
    for epoch in range(1, epochs + 1):
        for batch in loader.epoch(epoch, len(loader) - batches):
            if batch.failed:
                raise RuntimeError(f"could not be read: {batch.failed[0]}")
        del batch
        own = psutil.Process()
        main, *workers = (own_megabytes(process.pid) for process in [own, *own.children(recursive=True)])
        sums.append(main + sum(workers))
        growth = 100 * (sums[-1] / sums[0] - 1)
        print(f"| {epoch} | {main:.1f} | {sum(workers):.1f} | {sums[-1]:.1f} | {growth:+.2f} % |", flush=True)
    worst = 100 * (max(sums) / sums[0] - 1)
    print(f"\n{'reached' if worst < 2 else 'not reached'}: grew by at most {worst:.2f} % (target below 2 %)")


def own_megabytes(process: int) -> float:
    """Proportional set size (MB, 10^6 bytes) without pages of files: their share changes with what others start."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def main() -> None:
    """One start. Without epochs: prints seconds of the imports, of the catalogs, and up to the first batch."""
    folder, epochs, batches, num_workers = Path(sys.argv[1]), *map(int, sys.argv[2:])
    times = [time.monotonic()]
    from benchmarks.data_loading.data import REDUCED, Loading, Place
    from data_utils.batches.frame_reader import reader_for
    from data_utils.batches.loader import Loader
    from data_utils.formats.packed import PackedReader

    times.append(time.monotonic())
    place = Place(folder, folder)
    config = place.config(REDUCED, Loading(num_workers, batch_size=16, windows_per_video=1))
    catalog = place.open(config)
    times.append(time.monotonic())
    reader_for(catalog, config)  # which a start makes; it would refuse shards that are there under many names
    loader = Loader(catalog, config, config.batch_size, config.seed, training=True, reader=PackedReader())
    for _ in loader.epoch(0):
        times.append(time.monotonic())
        break
    if not epochs:
        print(*(after - before for before, after in itertools.pairwise(times)))
    else:
        print_memory(loader, epochs, batches)
    loader.close()


if __name__ == "__main__":
    main()
