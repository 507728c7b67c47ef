"""Keeps the features of a fixed set of validation videos at each validation: figures show how the space forms."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.schema import Config
from data_utils.catalog.catalog import Catalog
from figures.drawn_videos import drawn_videos
from protocols.encoded_split import EncodedSplit
from runs.epoch_features import EpochFeatures, keep
from runs.reporting.embedding import DIMENSIONS, Points, reduced, why_not

MOST_VIDEOS = 500
"""That are kept, however many a figure shows at the end."""

logger = logging.getLogger(__name__)


def keep_features(folder: Path, catalog: Catalog, config: Config, epoch: int, step: int, split: EncodedSplit) -> None:
    """Keeps what figures over the epochs need of one validation; nothing where `figure_epochs` is 0.

    Training goes on where that fails, and the log says so.

    Args:
        folder: of the run, for these files.
        catalog: the validation videos.
        config: of the run, or of a stage.
        epoch: epochs done, in all stages.
        step: steps done, in all stages.
        split: the validation videos as the encoder sees them.
    """
    if not config.figure_epochs:
        return
    try:
        found = _found(catalog, config, epoch, step, split)
        keep(folder, found, config.figure_epochs)
    except Exception as error:  # whatever it is: the features are for pictures alone
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        logger.warning("features for figures over the epochs are not kept: %s", reason)


def _found(catalog: Catalog, config: Config, epoch: int, step: int, split: EncodedSplit) -> EpochFeatures:
    most = min(config.figure_videos, MOST_VIDEOS)
    paths: dict[int, list[str]] = {}
    features: dict[int, dict[str, Points]] = {}
    for parts, of_level in split.features.items():
        # Drawn from all videos of the catalog: one that cannot be read any more changes nothing for the others.
        drawn = drawn_videos(len(catalog.table), parts, config.seed, most)
        kept_N = np.isin(split.rows, drawn)
        paths[parts] = [str(path) for path in catalog.table["path"].to_numpy(object)[split.rows[kept_N]]]
        features[parts] = {
            level: _components(values_NKD[kept_N], config.seed) for level, values_NKD in of_level.items()
        }
    return EpochFeatures(config.stage or 0, epoch, step, paths, features)


def _components(values_NKD: NDArray[np.float32], seed: int) -> Points:
    """[N, K, up to 50] principal components; of features that make no picture, the first 50 numbers, which say so."""
    points = values_NKD.reshape(-1, values_NKD.shape[-1]).astype(np.float64)
    found = points[:, :DIMENSIONS] if why_not(points) else reduced(points, seed)
    return found.reshape(*values_NKD.shape[:2], -1)
