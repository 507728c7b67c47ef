"""Features as one file for a notebook: np.load("features.npz")["test/clip"]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from config.errors import InputError
from evaluation.encoders import ScoredEncoder
from protocols.evaluation import EvaluationData
from runs.process.atomic import replaced_file


def export_features(file: Path, encoder: ScoredEncoder, data: EvaluationData, device: torch.device) -> dict[str, int]:
    """Writes the features of all splits, with what is known of the videos.

    The arrays, by name: `SPLIT/LEVEL` [N, D] float32, the mean over windows and crops of each video; `SPLIT/paths` [N];
    `SPLIT/labels/SET` [N, K] class numbers, -1 where a video has no label, of K parts; `SPLIT/multi/SET` [N, C] whether
    each class is shown; `SPLIT/groups` [N]; and `classes/SET` [C] the names. None needs pickle to be read.

    Args:
        file: ends in .npz; replaced when everything is there.
        encoder: on `device`.
        data: the dataset.
        device: that computes.

    Returns:
        Videos by split.

    Raises:
        InputError: the file cannot be written.
    """
    seen = data.seen_by(encoder.network.to(device).eval(), device)
    arrays: dict[str, NDArray[np.generic]] = {}
    videos = {}
    for split, catalog in data.catalogs.items():
        encoded = seen.split(split)
        videos[split] = len(encoded.rows)
        for level, features_NKD in encoded.features[1].items():
            arrays[f"{split}/{level}"] = features_NKD[:, 0]
        arrays[f"{split}/paths"] = catalog.table["path"].to_numpy(object)[encoded.rows].astype(np.str_)
        if "group" in catalog.table:
            arrays[f"{split}/groups"] = catalog.table["group"].to_numpy(object)[encoded.rows].astype(np.str_)
        for name, labels in encoded.labels.items():
            arrays[f"{split}/labels/{name}"] = labels.values
            arrays[f"classes/{name}"] = np.array(labels.classes, np.str_)
        for name, several in encoded.multi.items():
            arrays[f"{split}/multi/{name}"] = several.shows_NC
            arrays[f"classes/{name}"] = np.array(several.classes, np.str_)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"--export-features: cannot write {file}: {error.strerror or error}") from None
    return videos
