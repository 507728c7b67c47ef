"""The files in which a run keeps features that take too much memory, and what tells one of them from another."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from config.schema import Config
from data_utils.catalog.catalog import Catalog
from protocols.view_store import Shapes, ViewStore
from runs.checkpoint import weights_digest
from runs.precision import autocast_dtype

VERSION = 1
"""Goes up when the same weights and windows give other features than before."""

# Of the config, what features do not depend on; all else makes another file.
_WITHOUT_EFFECT = {
    *("model_name", "save_path", "resume", "num_workers", "eval_memory_mb", "features_memory_mb", "max_bad_videos"),
    *("num_epochs", "optimizer", "scheduler", "predictor", "lr_scale", "evaluations", "choose_by", "figures"),
    *("figure_videos", "figure_epochs", "log_interval", "val_interval", "tracking", "wandb", "debug", "task"),
    *("augmentation", "weak_augmentation", "encoder_checkpoint", "strict_monitors", "max_bad_steps", "clip_grad_norm"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeaturePlace:
    """The place of one encoder's features of one split."""

    folder: Path | None
    """The run's folder `features`; None: they always stay in memory."""
    name: str
    """Of the dataset and the split, for the file's name."""
    encoder: nn.Module
    catalog: Catalog
    config: Config
    device: torch.device

    def reopened(self) -> ViewStore | None:
        """The features that a file has, whole or to be gone on with; None where there is no such file."""
        if self.folder is None or not self.folder.is_dir() or not any(self.folder.glob(f"{self._stem}-*.h5")):
            return None  # before the fingerprint, which takes time
        store = ViewStore.reopen(self._path, self._fingerprint)
        if store is not None:
            state = "" if store.is_whole else f", up to view {store.views:,}"
            logger.info("features of %s: as %s has them%s", self.name, self._path, state)
        return store

    def made(self, shapes: Shapes) -> ViewStore:
        """A new store: in memory, or where that would take more than `features_memory_mb`, in a file."""
        size = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in shapes.values())
        if self.folder is None or size <= self.config.features_memory_mb * 10**6:
            return ViewStore.in_memory(shapes)
        logger.info("features of %s take %.1f GB: kept in %s", self.name, size / 1e9, self._path)
        return ViewStore.create(self._path, self._fingerprint, shapes)

    @property
    def _stem(self) -> str:
        return re.sub(r"[^\w.-]+", "_", self.name)

    @property
    def _path(self) -> Path:
        assert self.folder is not None
        return self.folder / f"{self._stem}-{self._fingerprint[:16]}.h5"

    @cached_property
    def _fingerprint(self) -> str:
        """The SHA-256 of all that the features are a function of."""
        weights = {name: tensor.detach().cpu() for name, tensor in self.encoder.state_dict().items()}
        config = self.config.model_dump(mode="json")
        dtype = autocast_dtype(self.config, self.device)
        parts = {
            "version": VERSION,
            "torch": torch.__version__,
            "device": self.device.type,
            "dtype": str(dtype),
            "encoder": type(self.encoder).__name__,
            "weights": weights_digest(weights),
            "config": {key: value for key, value in config.items() if key not in _WITHOUT_EFFECT},
            "videos": _videos_digest(self.catalog),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _videos_digest(catalog: Catalog) -> str:
    """A digest of the rows of a catalog, and of size and time of the files that they are read from."""
    digest = hashlib.sha256(str(catalog.root.resolve()).encode())
    facts = catalog.table[[name for name in ("path", "stored", "frames", "fps", "group") if name in catalog.table]]
    digest.update(facts.to_csv(index=False).encode())
    digest.update(_labels_digest({name: labels.values for name, labels in catalog.labels.items()}).encode())
    for file in sorted({str(stored).partition("#")[0] for stored in catalog.stored}):
        try:
            stat = (catalog.root / file).stat()
        except OSError:  # it is told when it is read
            continue
        digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _labels_digest(labels: Mapping[str, Any]) -> str:
    """How many parts the label sets have: vectors of parts depend on that, and on nothing else of the labels."""
    return str(sorted({values.shape[1] for values in labels.values()}))
