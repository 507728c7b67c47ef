"""How hard moving_digits is without any learning: kNN on raw pixels, per label set.

    python -m benchmarks.moving_digits_floors [--difficulty easy|hard] [CONFIG] [key=value ...]

A frame alone must not tell the program (below 2x chance for any frame and for the mean frame); of the hard videos, no
view of the pixels may. The other end, that the labels can be learned at all, is shown by `python main.py control.yaml`
and `control_hard.yaml`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from config.data import Difficulty
from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import evaluation_views
from protocols.encoded_split import FloatArray
from protocols.encoding import evaluation_batches
from protocols.knn import knn_predict, knn_settings
from protocols.metrics import chance
from runs.completing import complete

VIEWS: dict[str, Callable[[FloatArray], Sequence[FloatArray]]] = {
    "one frame (the best of them)": lambda video: list(video.swapaxes(0, 1)),
    "mean frame": lambda video: [video.mean(axis=1)],
    "all pixels": lambda video: [video],
    "frame differences": lambda video: [np.diff(video, axis=1)],
}
"""Inputs by name; where a function gives several arrays, the one that scores best counts."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one row per view of the pixels, one column per label set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--difficulty", choices=get_args(Difficulty), help="of the videos, in a folder of their own (the config's)"
    )
    parser.add_argument("config", nargs="?", default="quickstart.yaml", metavar="CONFIG")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args(arguments)
    config = complete(load_config(options.config, [*_dataset(options.difficulty), *options.overrides])).config
    with tempfile.TemporaryDirectory() as folder:
        list_of_bad = Path(folder) / "bad_videos.csv"
        catalogs = open_catalogs(config, config.groups, list_of_bad)
        bad_videos = open_bad_videos(config, catalogs, list_of_bad)
        (bank, bank_rows), (queries, query_rows) = (
            pixels(catalogs[split], config, bad_videos) for split in ("train", "test")
        )
    labels, knn = catalogs["train"].labels, knn_settings(config.evaluations)
    print(f"{'kNN on pixels, test accuracy in percent':42}" + "".join(f"{label_set:>12}" for label_set in labels))
    for title, view in VIEWS.items():
        looks = [[look.reshape(len(look), -1) for look in view(split)] for split in (bank, queries)]
        cells = []
        for label_set in labels:
            answers = catalogs["train"].labels[label_set].values[bank_rows]
            truth = catalogs["test"].labels[label_set].values[query_rows]
            scores = [
                np.mean(
                    [
                        knn_predict(known, answers[:, part], asked, knn.ks[0], knn.temperature) == truth[:, part]
                        for part in range(truth.shape[1])
                    ]
                )
                for known, asked in zip(*looks, strict=True)
            ]
            cells.append(f"{100 * max(scores):12.1f}")
        print(f"{title:42}" + "".join(cells))
    print(f"{'chance':42}" + "".join(f"{chance(catalogs['test'].labels[label_set]):12.1f}" for label_set in labels))


def _dataset(difficulty: Difficulty | None) -> list[str]:
    """The overrides for a difficulty: hard videos do not lie where easy ones do."""
    if difficulty is None:
        return []
    folder = {"easy": "datasets/moving_digits", "hard": "datasets/moving_digits_hard"}[difficulty]
    return [f"dataset.difficulty={difficulty}", f"dataset.root={folder}"]


def pixels(
    catalog: Catalog, config: Config, bad_videos: BadVideos
) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The first window of every video, normalised [N, T, C, H, W], and the videos' rows."""
    windows, rows = [], []
    for batch in evaluation_batches(catalog, config, bad_videos):
        views = evaluation_views(batch, config, "cpu")
        windows.append(views.video_BTCHW)
        rows.append(views.rows_B)
    _, first = np.unique(torch.cat(rows).numpy(), return_index=True)
    return torch.cat(windows).numpy()[first], torch.cat(rows).numpy()[first]


if __name__ == "__main__":
    main()
