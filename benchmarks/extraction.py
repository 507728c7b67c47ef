"""How fast features are extracted, beside the encoder's bare forward pass on the same windows.

    python -m benchmarks.extraction [--config quickstart.yaml] [--rounds 5] [key=value ...]

Bare: windows lie normalised on the device, the encoder runs over them without gradient, nothing else happens. Against
it, all that evaluation does: windows in memory that are cropped and normalised, encoded and averaged (`in memory`), and
windows that are read and decoded, too (`read`). Rounds alternate; medians count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from config.load import load_config
from data_utils.batches.loader import Batch
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.dataset_card import completed
from data_utils.prepare.embedded import make_missing
from data_utils.views.views import evaluation_views
from protocols.encoding import encode_split, evaluation_batches
from runs.precision import autocast_dtype
from runs.process.seeds import seed_everything
from tasks.encoder import build_network


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="quickstart.yaml")
    parser.add_argument("overrides", metavar="key=value", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--split", default="test")
    options = parser.parse_intermixed_args(arguments)
    config = load_config(options.config, options.overrides).config
    make_missing(config.dataset)
    config = completed(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = autocast_dtype(config, device)
    seed_everything(config.seed)
    encoder = build_network(config).to(device).eval()
    with tempfile.TemporaryDirectory() as folder:
        lists = Path(folder) / "bad_videos.csv"
        catalogs = open_catalogs(config, config.groups, lists)
        catalog, bad_videos = catalogs[options.split], open_bad_videos(config, catalogs, lists)
        batches = list(evaluation_batches(catalog, config, bad_videos))
        views = [evaluation_views(batch, config, device).video_BTCHW for batch in batches]
        count = sum(map(len, views))

        def bare() -> None:
            with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype is not None):
                for video in views:
                    last: dict[str, Tensor] = encoder(video)
            next(reversed(last.values())).sum().item()  # waits for the device

        def extracted(windows: list[Batch] | None) -> Callable[[], None]:
            return lambda: _ignore(encode_split(encoder, catalog, config, device, bad_videos, windows))

        ways = {"bare forward": bare, "in memory": extracted(batches), "read": extracted(None)}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for round_number in range(options.rounds + 1):
            for name, run in ways.items():
                start = time.perf_counter()
                run()
                if round_number:  # the first one warms up
                    seconds[name].append(time.perf_counter() - start)
    print(f"{count} views of {config.window.length} frames on {device.type}, {torch.get_num_threads()} threads")
    best = median(seconds["bare forward"])
    for name, taken in seconds.items():
        print(f"{name:>12}: {count / median(taken):8.0f} views/s  {best / median(taken):6.1%} of the bare forward pass")


def _ignore(_: object) -> None:
    pass


if __name__ == "__main__":
    main()
