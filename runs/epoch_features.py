"""How the features of some videos change while a run trains: a small file for each of a bounded number of validations.

Files are written once and whole, so an interruption costs none; what lies in a future that a resumed run does not have
is deleted when that run gets there.
"""

from __future__ import annotations

import io
import json
import logging
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runs.process.atomic import atomic_write

logger = logging.getLogger(__name__)

_NAME = "stage-{:02d}-epoch-{:06d}.npz"


@dataclass(frozen=True)
class EpochFeatures:
    """The features of some validation videos after an epoch."""

    stage: int
    """The stage of a curriculum, from 1; 0: there are none."""
    epoch: int
    """Epochs done, in all stages; 0: the weights are random."""
    step: int
    """Optimizer steps done, in all stages."""
    paths: dict[int, list[str]]
    """By number of parts K: the videos, as the catalog calls them."""
    features: dict[int, dict[str, NDArray[np.float64]]]
    """By number of parts K and level: [videos, K, D] principal components of the features, centred and normalised."""

    @property
    def key(self) -> tuple[int, int]:
        """Orders them."""
        return self.stage, self.epoch

    @property
    def title(self) -> str:
        """Which validation this is, in words."""
        if self.epoch == 0:
            return "random init"
        return f"stage {self.stage}, epoch {self.epoch}" if self.stage else f"epoch {self.epoch}"


def keep(folder: Path, found: EpochFeatures, most: int) -> None:
    """Writes the features of one validation, and deletes some of those before where there would be more than `most`.

    Those that stay are spread evenly over the epochs, the first and the last among them.

    Args:
        folder: of the run; made where it is missing.
        found: replaces what was kept of this epoch, and of later ones.
        most: 1 or more; of one, the last.

    Raises:
        InputError: it cannot be written.
    """
    folder.mkdir(exist_ok=True)
    there = kept_keys(folder)
    for key in [key for key in there if key >= found.key]:
        _path(folder, key).unlink()
    arrays: dict[str, NDArray[np.generic]] = {}
    facts = {"stage": found.stage, "epoch": found.epoch, "step": found.step}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    for parts, of_level in found.features.items():
        names = "\0".join(found.paths[parts])  # which no path has
        arrays[f"{parts}/paths"] = np.frombuffer(os.fsencode(names), np.uint8)
        for level, values_NKD in of_level.items():
            arrays[f"{parts}/features/{level}"] = values_NKD.astype(np.float16)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    with atomic_write(_path(folder, found.key)) as file:
        file.write(content.getvalue())
    for key in _too_many([key for key in there if key < found.key] + [found.key], most):
        _path(folder, key).unlink(missing_ok=True)


def _too_many(keys: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The keys to give up: each time the one whose neighbours lie nearest to each other, in epochs."""
    left, gone = sorted(keys), []
    while len(left) > most:
        if len(left) == 2:
            gone.append(left.pop(0))
            continue
        gaps = [left[place + 1][1] - left[place - 1][1] for place in range(1, len(left) - 1)]
        gone.append(left.pop(1 + gaps.index(min(gaps))))
    return gone


def kept_keys(folder: Path) -> list[tuple[int, int]]:
    """Stage and epoch of the validations of which features are kept, in their order."""
    found = []
    for path in folder.glob("stage-*-epoch-*.npz"):
        stage, epoch = path.stem.removeprefix("stage-").split("-epoch-")
        if stage.isdecimal() and epoch.isdecimal():
            found.append((int(stage), int(epoch)))
    return sorted(found)


def read_kept(folder: Path) -> list[EpochFeatures]:
    """All that is kept, in the order of training; what cannot be read is left out, and the log says so."""
    found = []
    for key in kept_keys(folder):
        path = _path(folder, key)
        try:
            found.append(_read(path))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("%s cannot be read and is left out: %s", path, error)
    return found


def _read(path: Path) -> EpochFeatures:
    paths: dict[int, list[str]] = {}
    features: dict[int, dict[str, NDArray[np.float64]]] = {}
    with np.load(path, allow_pickle=False) as file:
        facts: Mapping[str, int] = json.loads(file["facts"].tobytes())
        for name in file.files:
            parts, _, rest = name.partition("/")
            if rest == "paths":
                names = os.fsdecode(file[name].tobytes())
                paths[int(parts)] = names.split("\0") if names else []
            elif rest:
                features.setdefault(int(parts), {})[rest.removeprefix("features/")] = file[name].astype(np.float64)
    return EpochFeatures(facts["stage"], facts["epoch"], facts["step"], paths, features)


def _path(folder: Path, key: tuple[int, int]) -> Path:
    return folder / _NAME.format(*key)
