"""The nearest neighbours are exact, whatever the blocks, and ties are decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from protocols import neighbours
from protocols.encoded_split import EncodedSplit, FloatArray
from protocols.neighbours import nearest, neighbours_of
from tests.protocols.clouds import label_set, rng


def vectors(count: int, seed: int = 0, dim: int = 16) -> FloatArray:
    return rng(seed).normal(size=(count, dim)).astype(np.float32) + 3


def everything(features: FloatArray) -> NDArray[np.int64]:
    return np.arange(len(features))


@pytest.mark.parametrize("k", [1, 20, 200])
def test_they_are_those_of_scikit_learn(k: int) -> None:
    bank, queries = vectors(300), vectors(70, seed=1)
    centre = bank.mean(axis=0)
    other = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit((bank - centre).astype(np.float64))
    distance, index = other.kneighbors((queries - centre).astype(np.float64))
    cosine, found = nearest(bank, everything(bank), queries, everything(queries), k)
    np.testing.assert_allclose(cosine, 1 - distance, atol=1e-6)
    assert (found == index).mean() > 0.999  # float32 may see two that are all but equally near the other way round


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    # Vectors whose mean is 0 and whose length is 2: no cosine is rounded, and many are equal.
    half = rng().choice([-1.0, 1.0], size=(45, 4)).astype(np.float32)
    bank, queries = np.concatenate([half, -half]), rng(1).choice([-1.0, 1.0], size=(50, 4)).astype(np.float32)
    whole = nearest(bank, everything(bank), queries, everything(queries), 12)
    assert (np.diff(whole[0], axis=1) == 0).mean() > 0.5
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", block)
    in_blocks = nearest(bank, everything(bank), queries, everything(queries), 12)
    for one, other in zip(in_blocks, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    expected = np.argsort(-(queries @ bank.T), axis=1, kind="stable")[:, :12]
    np.testing.assert_array_equal(whole[1], expected)  # of equally near ones, the earlier first


def test_memory_is_bounded_by_blocks_of_vectors_and_of_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    largest = neighbours._largest

    def watched(cosine_QB: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        held.append(cosine_QB.nbytes)
        return largest(cosine_QB, k)

    monkeypatch.setattr(neighbours, "_largest", watched)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 4096)
    bank, queries = vectors(500), vectors(300, seed=1)
    nearest(bank, everything(bank), queries, everything(queries), 3)
    assert len(held) > 30
    assert max(held) <= 4096


def test_of_more_that_are_as_near_as_the_last_the_first_ones_count() -> None:
    cosine = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2], [0.1, 0.2, 0.3, 0.4, 0.5]])
    found, index = neighbours._largest(cosine, 3)
    assert index.tolist() == [[1, 0, 2], [0, 1, 2], [4, 3, 2]]
    torch.testing.assert_close(found, cosine.gather(1, index))


def test_features_may_be_a_map_of_a_file(tmp_path: Path) -> None:
    bank, queries = vectors(200), vectors(40, seed=1)
    np.save(tmp_path / "bank.npy", np.stack([bank, vectors(200, seed=9)], axis=1))
    mapped = np.load(tmp_path / "bank.npy", mmap_mode="r")
    rows = np.flatnonzero(np.arange(200) % 3)
    on_disk = nearest(mapped[:, 0], rows, queries, everything(queries), 5)
    in_memory = nearest(bank[rows], np.arange(len(rows)), queries, everything(queries), 5)
    for one, other in zip(on_disk, in_memory, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_video_without_a_label_is_nobodys_neighbour_and_has_neighbours() -> None:
    bank, queries = (EncodedSplit.of_videos({1: {"space": vectors(30, s)[:, None]}}, {}) for s in (0, 1))
    bank.labels["motion"] = label_set(np.where(np.arange(30) % 2, -1, 1)[:, None])
    queries.labels["motion"] = label_set(np.where(np.arange(30) % 3, -1, 1)[:, None])
    (found,) = neighbours_of(bank, queries, {"space": ["motion"]}, 4)
    assert found.index_KNk.shape == (1, 30, 4)
    assert (found.index_KNk % 2 == 0).all()
    nobody = EncodedSplit.of_videos(bank.features, {"motion": label_set([[-1]] * 30)})
    assert not list(neighbours_of(bank, nobody, {"space": ["motion"]}, 4))
    assert not list(neighbours_of(nobody, queries, {"space": ["motion"]}, 4))
