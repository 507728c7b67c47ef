"""Two dimensions in place of many, for pictures: PCA, t-SNE and UMAP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runs.reporting.compiled_umap import load_umap

Method = Literal["pca", "tsne", "umap"]
METHODS: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
MIN_POINTS = 10  # fewer make no picture


def embed(method: Method, points: NDArray[np.float64], seed: int) -> NDArray[np.float64] | str:
    """Two dimensions per point, or why there are none.

    Args:
        method: a key of METHODS.
        points: [points, D].
        seed: the result is a function of it.

    Returns:
        [points, 2], or a reason: fewer than 10 points, or features that are not finite or all the same.
    """
    if len(points) < MIN_POINTS:
        return f"only {len(points)} points"
    if not np.isfinite(points).all():
        return "features are not finite"
    centred = points - points.mean(axis=0)
    if np.abs(centred).max() <= 1e-6 * np.abs(points).max():
        return "collapsed:\nall features are the same"
    normalised = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return _EMBEDDERS[method](_reduce(normalised, seed), seed % 2**32)


def _reduce(points: NDArray[np.float64], seed: int, dimensions: int = 50) -> NDArray[np.float64]:
    """The first principal components [points, 2 to dimensions]; zeros where the data has only one."""
    from sklearn.decomposition import PCA

    reduced = PCA(min(dimensions, *points.shape), random_state=seed % 2**32).fit_transform(points)
    return np.pad(reduced, ((0, 0), (0, max(0, 2 - reduced.shape[1]))))


def _pca(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:  # noqa: ARG001 (one signature for all)
    return points[:, :2]


def _tsne(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=seed, n_jobs=1)
    return np.asarray(tsne.fit_transform(points), np.float64)


def _umap(points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    umap = load_umap()(n_neighbors=min(15, len(points) - 1), init="pca", n_epochs=200, random_state=seed, n_jobs=1)
    return np.asarray(umap.fit_transform(points), np.float64)


_Embedder = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
_EMBEDDERS: dict[Method, _Embedder] = {"pca": _pca, "tsne": _tsne, "umap": _umap}
