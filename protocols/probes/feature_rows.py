"""Features of views as a probe reads them: at once where they fit, else in pools; and their mean and deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocols.encoded_split import FloatArray, IntArray

BLOCK = 1024
"""Views that are read together where all are read in order."""


class FeatureRows:
    """Some of the rows of an array, which may be a memory map.

    Args:
        features_VKD: of all views.
        rows: [M] the views that are meant.
        device: where they are wanted.
        whole: whether all are kept on the device; otherwise they are read whenever they are asked for.
    """

    def __init__(self, features_VKD: FloatArray, rows: IntArray, device: torch.device, *, whole: bool) -> None:
        self._features_VKD, self._rows, self._device = features_VKD, rows, device
        self._all_MKD = self._read(rows) if whole else None

    def pool(self, numbers: IntArray) -> tuple[Tensor, IntArray]:
        """Features from which batches of these samples can be taken.

        Args:
            numbers: [P] of samples, from 0 to M - 1.

        Returns:
            Features, and for each of `numbers` its place in them.
        """
        if self._all_MKD is not None:
            return self._all_MKD, numbers
        ordered, places = np.unique(numbers, return_inverse=True)
        return self._read(self._rows[ordered]), places

    def _read(self, rows: IntArray) -> Tensor:
        """The features of rows in ascending order."""
        everything = len(rows) == len(self._features_VKD)
        found_MKD = np.asarray(self._features_VKD) if everything else np.asarray(self._features_VKD[rows])
        if not found_MKD.flags.writeable:
            found_MKD = found_MKD.copy()
        return torch.from_numpy(found_MKD).to(self._device)


@dataclass(frozen=True)
class Scale:
    """Brings features to mean 0 and deviation 1, as BatchNorm without parameters does with its running statistics."""

    mean_KD: Tensor
    std_KD: Tensor

    def __call__(self, features_BKD: Tensor) -> Tensor:
        """Float32, [B, K, D]."""
        return (features_BKD - self.mean_KD) / self.std_KD

    @classmethod
    def of(cls, features_VKD: FloatArray, rows: IntArray, counts_VK: NDArray[np.bool_], device: torch.device) -> Scale:
        """The statistics of some views.

        They are those of all training features, which the running statistics of BatchNorm only estimate, and are
        summed in float64 in blocks of fixed size, so that they do not depend on the memory.

        Args:
            features_VKD: of all views; may be a memory map.
            rows: [M] the views that count.
            counts_VK: whether a view shows anything of a part.
            device: where they are wanted.
        """
        shape = features_VKD.shape[1:]
        total_KD, squares_KD, count_K1 = np.zeros(shape), np.zeros(shape), np.zeros((shape[0], 1))
        # Of differences from a sample that counts: squares of large values would lose what distinguishes them.
        first_K = rows[counts_VK[rows].argmax(axis=0)]
        origin_KD = np.stack([features_VKD[first, part] for part, first in enumerate(first_K)]).astype(np.float64)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            moved_BKD = np.where(counts_VK[block, :, None], features_VKD[block] - origin_KD, 0.0)
            total_KD += moved_BKD.sum(axis=0)
            squares_KD += np.square(moved_BKD).sum(axis=0)
            count_K1 += counts_VK[block].sum(axis=0)[:, None]
        count_K1 = np.maximum(count_K1, 1)
        mean_KD = total_KD / count_K1
        std_KD = np.sqrt(np.maximum(squares_KD / count_K1 - np.square(mean_KD), 0.0))
        mean_KD += origin_KD
        # What is the same everywhere up to the last bits of float32 says nothing: it must not be made large.
        std_KD[std_KD <= 1e-6 * np.abs(mean_KD)] = np.inf
        as_float32 = (torch.from_numpy(values.astype(np.float32)).to(device) for values in (mean_KD, std_KD))
        return cls(*as_float32)
