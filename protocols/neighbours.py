"""The nearest videos of a bank, within bounded memory: what kNN and retrieval have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from protocols.encoded_split import EncodedSplit, FloatArray, IntArray

BLOCK_ROWS = 8192  # vectors that are compared at once at most
BLOCK_BYTES = 2**27  # of vectors, and of similarities, that are held at once


@dataclass(frozen=True)
class Neighbours:
    """The nearest labelled videos of a bank, for every one of N videos and each of their K parts."""

    level: str
    labels: str
    """The label set, one that says a class of each video or part, or one that says several classes at once."""
    cosine_KNk: FloatArray
    """The nearest first."""
    index_KNk: IntArray
    """The numbers of the neighbours among the bank's videos."""


def neighbours_of(
    bank: EncodedSplit,
    queries: EncodedSplit,
    labels: Mapping[str, Sequence[str]],
    k: int,
    device: torch.device | str = "cpu",
) -> Iterator[Neighbours]:
    """The neighbours of every video, by level and label set.

    Args:
        bank: the videos among which neighbours are looked for, if they have a label.
        queries: the videos that are asked for, with or without a label.
        labels: by level, the label sets; those of which one split has no labelled video are left out.
        k: neighbours; fewer when fewer videos of the bank have a label.
        device: what compares.
    """
    everything = np.arange(len(queries.rows))
    for level, names in labels.items():
        found: dict[object, tuple[FloatArray, IntArray]] = {}  # label sets of the same videos share their neighbours
        for name in names:
            known, asked = (split.multi.get(name) or split.labels[name] for split in (bank, queries))
            if not (known.is_known.any() and asked.is_known.any()):  # told when the evaluations were planned
                continue
            rows = np.flatnonzero(known.is_known)
            parts = 1 if known.kind == "multi" else known.values.shape[1]
            mine, theirs = (split.features[parts][level] for split in (bank, queries))
            for part in range(parts):
                if (parts, part, rows.tobytes()) not in found:
                    cosine, index = nearest(mine[:, part], rows, theirs[:, part], everything, k, device)
                    found[parts, part, rows.tobytes()] = cosine, rows[index]
            cosines, indices = zip(*(found[parts, part, rows.tobytes()] for part in range(parts)), strict=True)
            yield Neighbours(level, name, np.stack(cosines), np.stack(indices))


def nearest(
    bank_ND: FloatArray,
    bank_rows: IntArray,
    queries_MD: FloatArray,
    query_rows: IntArray,
    k: int,
    device: torch.device | str = "cpu",
) -> tuple[FloatArray, IntArray]:
    """The k nearest vectors of a bank, by the cosine of features that are centred by the bank's mean.

    Every pair is compared, in float32. Bank and queries are read block by block, so that they may be maps of files that
    no memory holds; at most a few blocks of `BLOCK_BYTES` are held at once, beside the answer.

    Args:
        bank_ND: vectors.
        bank_rows: the B of them that count, at least one.
        queries_MD: vectors.
        query_rows: the Q of them that are asked for.
        k: neighbours; fewer when the bank is smaller.
        device: what compares.

    Returns:
        Cosines [Q, k] and indices into `bank_rows` [Q, k], the nearest first; of equally near ones, the earlier.
    """
    k = min(k, len(bank_rows))
    mean_D = _mean(bank_ND, bank_rows).to(device)
    cosine_Qk = np.empty((len(query_rows), k), np.float32)
    index_Qk = np.empty((len(query_rows), k), np.int64)
    for asked in _blocks(query_rows, queries_MD.shape[1], BLOCK_ROWS):
        queries_qD = _directions(queries_MD, query_rows[asked], mean_D)
        best: tuple[Tensor, Tensor] | None = None
        for known in _blocks(bank_rows, bank_ND.shape[1], BLOCK_BYTES // (4 * len(queries_qD))):
            cosine_qB = queries_qD @ _directions(bank_ND, bank_rows[known], mean_D).T
            found, number = _largest(cosine_qB, min(k, cosine_qB.shape[1]))
            best = _merged(best, (found, number + known.start), k)
        if best is not None:
            cosine_Qk[asked], index_Qk[asked] = (tensor.cpu().numpy() for tensor in best)
    return cosine_Qk, index_Qk


def _blocks(rows: IntArray, dim: int, most: int) -> Iterator[slice]:
    """Parts of `rows` that are read at once: at most so many, and of at most `BLOCK_BYTES`."""
    size = max(1, min(most, BLOCK_ROWS, BLOCK_BYTES // (4 * dim)))
    for start in range(0, len(rows), size):
        yield slice(start, min(start + size, len(rows)))


def _mean(bank_ND: FloatArray, bank_rows: IntArray) -> Tensor:
    """[D]."""
    total_D = np.zeros(bank_ND.shape[1])
    for block in _blocks(bank_rows, bank_ND.shape[1], BLOCK_ROWS):
        total_D += bank_ND[bank_rows[block]].sum(axis=0, dtype=np.float64)
    return torch.from_numpy((total_D / len(bank_rows)).astype(np.float32))


def _directions(features_ND: FloatArray, rows: IntArray, mean_D: Tensor) -> Tensor:
    """Some vectors, centred and of length 1."""
    # Without centring, what all vectors share makes every cosine nearly 1, and neighbours cannot be told apart.
    chosen_BD = np.asarray(features_ND[rows], np.float32)
    return F.normalize(torch.from_numpy(chosen_BD).to(mean_D.device) - mean_D, dim=1)


def _largest(cosine_QB: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row and where they stand, the largest first; of equal ones, the earlier."""
    found_Qk, index_Qk = cosine_QB.topk(k, dim=1)
    # topk takes any of those that are as large as the last one: here, the first ones.
    last_Q1 = found_Qk[:, -1:]
    tied_Q = (cosine_QB >= last_Q1).sum(dim=1) > k
    if bool(tied_Q.any()):
        index_Qk[tied_Q] = _first_largest(cosine_QB[tied_Q], last_Q1[tied_Q], k)
    index_Qk = index_Qk.sort(dim=1).values
    found_Qk, order_Qk = cosine_QB.gather(1, index_Qk).sort(dim=1, descending=True, stable=True)
    return found_Qk, index_Qk.gather(1, order_Qk)


def _first_largest(cosine_QB: Tensor, last_Q1: Tensor, k: int) -> Tensor:
    """Where the k largest of each row stand, the first ones of those that equal the k-th, `last_Q1`."""
    larger_QB, equal_QB = cosine_QB > last_Q1, cosine_QB == last_Q1
    room_Q1 = k - larger_QB.sum(dim=1, keepdim=True)
    chosen_QB = larger_QB | (equal_QB & (equal_QB.cumsum(dim=1, dtype=torch.int32) <= room_Q1))
    return chosen_QB.nonzero()[:, 1].view(len(cosine_QB), k)


def _merged(best: tuple[Tensor, Tensor] | None, more: tuple[Tensor, Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of both, each (cosine, index) [Q, .]; `best` holds earlier ones."""
    if best is None:
        return more
    cosine, index = (torch.cat(pair, dim=1) for pair in zip(best, more, strict=True))
    cosine, order = cosine.sort(dim=1, descending=True, stable=True)
    return cosine[:, :k], index.gather(1, order[:, :k])
