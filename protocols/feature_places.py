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

from config.data import DataConfig
from config.schema import ArchConfig, Config
from data_utils.catalog.catalog import Catalog
from protocols.view_store import Shapes, ViewStore
from runs.checkpoint import weights_digest
from runs.precision import autocast_dtype

VERSION = 1
"""Goes up when the same weights and windows give other features than before."""

# Of a config, features depend on the model, the data, and these; of the data not on what follows.
_OF_TRAINING = ("seed", "batch_size", "use_mixed_precision", "mixed_precision")
_WITHOUT_EFFECT = {
    *("encoder_checkpoint", "num_workers", "eval_memory_mb", "features_memory_mb", "max_bad_videos"),
    *("augmentation", "weak_augmentation"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeaturePlace:
    """The place of one encoder's features of one split."""

    folder: Path | None
    """The run's folder `features`; None: they always stay in memory."""
    name: str
    """Names the dataset and the split, for the file's name."""
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
        keys = {*ArchConfig.model_fields, *DataConfig.model_fields, *_OF_TRAINING} - _WITHOUT_EFFECT
        dtype = autocast_dtype(self.config, self.device)
        parts = {
            "version": VERSION,
            "torch": torch.__version__,
            "device": self.device.type,
            "dtype": str(dtype),
            "encoder": type(self.encoder).__name__,
            "weights": weights_digest(weights),
            "config": {key: config.get(key) for key in sorted(keys)},
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
