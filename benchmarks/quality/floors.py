"""How far the pixels go without any learning: kNN and linear probe on them, for any dataset.

    python -m benchmarks.quality.floors CONFIG OUT.json [key=value ...]

The videos, windows, crops and normalisation are those of evaluation, and as there a video is the mean over its windows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import evaluation_views
from protocols.encoded_split import EncodedSplit, FloatArray
from protocols.encoding import evaluation_batches
from protocols.knn import knn_scores, knn_settings
from protocols.linear_probe import LinearProbeSettings, probe_scores
from protocols.metrics import chance
from protocols.protocol import Score
from runs.completing import complete
from runs.process.atomic import write_json
from runs.process.environment import describe_environment
from runs.process.memory import MemoryWatch

LOOKS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "raw pixels": lambda video_NTCHW: video_NTCHW,
    "mean frame": lambda video_NTCHW: video_NTCHW.mean(axis=1),
    "frame differences": lambda video_NTCHW: np.diff(video_NTCHW, axis=1),
}
"""All linear: of a mean over windows each is the mean over windows."""

PROBE_DIM = 256
"""The linear probe sees so many principal components of the training videos; kNN sees every pixel."""

MAX_BYTES = 1_000_000_000
"""Largest size of all videos in pixels; where they are larger, squares of pixels are averaged."""


@dataclass(frozen=True)
class Pixels:
    """A split as it is.

    Attributes:
        video_NTCHW: normalised, the mean over windows and their crops.
        labels: of the N videos.
    """

    video_NTCHW: FloatArray
    labels: dict[str, LabelSet]


def main() -> None:
    """Writes OUT.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    began = perf_counter()
    config = complete(load_config(options.config, options.overrides)).config
    with MemoryWatch() as memory:
        found = measure_floors(config)
        cost = {"seconds": perf_counter() - began, "peak_memory_mb": memory.peak_mb}
    write_json(options.out, found | cost | {"environment": describe_environment("cpu")})


def measure_floors(config: Config) -> dict[str, Any]:
    """Scores the pixels of a dataset.

    Returns:
        `val` and `test`, each with `chance` by label set, and `knn` and `linear_probe` (accuracy in percent by floor
        and label set); `videos` by split; `averaged`, the side of the squares of pixels that were averaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        list_of_bad = Path(folder) / "bad_videos.csv"
        catalogs = open_catalogs(config, config.groups, list_of_bad)
        bad_videos = open_bad_videos(config, catalogs, list_of_bad)
        side = averaged_side(config, sum(len(catalog.table) for catalog in catalogs.values()))
        splits = {split: read_pixels(catalog, config, bad_videos, side) for split, catalog in catalogs.items()}
    found: dict[str, Any] = {
        split: {"chance": {name: chance(known) for name, known in splits[split].labels.items()}}
        | {"knn": {}, "linear_probe": {}}
        for split in ("val", "test")
    }
    for name, look in LOOKS.items():
        if name == "frame differences" and config.window.length == 1:
            continue
        looks = {split: flattened(look(pixels.video_NTCHW)) for split, pixels in splits.items()}
        fewer = principal_components(looks)
        for split in ("val", "test"):
            bank, queries = (_encoded(name, looks, splits, of) for of in ("train", split))
            labels = {name: list(bank.labels)}
            found[split]["knn"] |= _by_label(knn_scores(bank, queries, labels, knn_settings(config.evaluations)))
            bank, queries = (_encoded(name, fewer, splits, of) for of in ("train", split))
            found[split]["linear_probe"] |= _by_label(probe_scores(bank, queries, labels, LinearProbeSettings()))
    return found | {
        "videos": {split: len(pixels.video_NTCHW) for split, pixels in splits.items()},
        "averaged": side,
        "probe_dim": PROBE_DIM,
    }


def _by_label(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Values by level (here: the look at the pixels) and label set."""
    found: dict[str, dict[str, float]] = {}
    for score in scores:
        found.setdefault(str(score.level), {})[str(score.labels)] = score.value
    return found


def averaged_side(config: Config, videos: int) -> int:
    """Side of the squares that are averaged, so that so many videos fit into `MAX_BYTES`; 1: none are."""
    height, width = config.frame_size
    side = 1
    while videos * config.window.length * 3 * (height // side) * (width // side) * 4 > MAX_BYTES:
        side += 1
    return side


@torch.no_grad()
def read_pixels(catalog: Catalog, config: Config, bad_videos: BadVideos, side: int) -> Pixels:
    """The videos of a split that can be read; squares of `side` pixels become one."""
    height, width = config.frame_size
    shape = (len(catalog.table), config.window.length, 3, height // side, width // side)
    total_NTCHW, windows_N = torch.zeros(shape), torch.zeros(shape[0])
    for batch in evaluation_batches(catalog, config, bad_videos):
        views = evaluation_views(batch, config, "cpu")
        video_BTCHW = views.video_BTCHW.float()
        if side > 1:
            video_BTCHW = F.avg_pool2d(video_BTCHW.flatten(0, 1), side).unflatten(0, video_BTCHW.shape[:2])
        total_NTCHW.index_add_(0, views.rows_B, video_BTCHW)
        windows_N.index_add_(0, views.rows_B, torch.ones(len(views.rows_B)))
    seen_N = windows_N > 0
    if not seen_N.all():
        total_NTCHW, windows_N = total_NTCHW[seen_N], windows_N[seen_N]
    labels = {name: replace(known, values=known.values[seen_N.numpy()]) for name, known in catalog.labels.items()}
    return Pixels(total_NTCHW.div_(windows_N.view(-1, 1, 1, 1, 1)).numpy(), labels)


def flattened(look: FloatArray) -> FloatArray:
    """[N, D]."""
    return look.reshape(len(look), -1)


def principal_components(looks: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The splits' [N, D] as their components on the training videos' first `PROBE_DIM` axes, where D is larger."""
    train_ND = looks["train"]
    if train_ND.shape[1] <= PROBE_DIM:
        return dict(looks)
    pca = PCA(min(PROBE_DIM, len(train_ND)), svd_solver="randomized", random_state=0).fit(train_ND)
    return {split: pca.transform(look_ND) for split, look_ND in looks.items()}


def _encoded(name: str, looks: Mapping[str, FloatArray], splits: Mapping[str, Pixels], split: str) -> EncodedSplit:
    """The pixels as if an encoder had given them: every part of a video is shown by all of it."""
    look_ND, labels = looks[split], splits[split].labels
    parts = {1} | {known.values.shape[1] for known in labels.values()}
    videos, dim = look_ND.shape
    features = {count: {name: np.broadcast_to(look_ND[:, None], (videos, count, dim))} for count in parts}
    return EncodedSplit.of_videos(features, labels)


if __name__ == "__main__":
    main()
