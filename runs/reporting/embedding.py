"""Two dimensions in place of many, for pictures: PCA, t-SNE and UMAP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runs.reporting.compiled_umap import load_umap

Method = Literal["pca", "tsne", "umap"]
METHODS: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
MIN_POINTS = 10  # fewer make no picture
DIMENSIONS = 50  # that PCA leaves to t-SNE and UMAP

Points = NDArray[np.float64]

_REMEMBERED = 64  # embeddings: figures and the points of the report show the same ones
_found: dict[tuple[object, ...], Points | str] = {}


@dataclass(frozen=True)
class Knobs:
    """What t-SNE and UMAP can be set to; `KNOBS` says which of them uses what."""

    neighbours: int = 15
    """The neighbours of a point that UMAP looks at: few show fine structure, many the whole."""
    min_dist: float = 0.1
    """How close UMAP lets points lie."""
    perplexity: float = 30.0
    """About the number of neighbours that t-SNE looks at."""

    def for_points(self, count: int) -> Knobs:
        """The same, where there are only `count` points."""
        return replace(
            self,
            neighbours=max(2, min(self.neighbours, count - 1)),
            perplexity=max(1.0, min(self.perplexity, (count - 1) / 3)),
        )

    def text(self, method: Method) -> str:
        """The knobs that a method uses, in words."""
        return ", ".join(f"{name} {getattr(self, name):g}" for name in KNOBS[method])


KNOBS: dict[Method, tuple[str, ...]] = {"pca": (), "tsne": ("perplexity",), "umap": ("neighbours", "min_dist")}


def embed(
    method: Method, points: Points, seed: int, knobs: Knobs | None = None, start: Points | None = None
) -> Points | str:
    """Two dimensions per point, or why there are none.

    Args:
        method: a key of METHODS.
        points: [points, D].
        seed: the result is a function of it.
        knobs: None: the defaults; numbers that are too large for so few points are lowered.
        start: [points, 2] places that t-SNE and UMAP move the points away from; None: those of PCA.

    Returns:
        [points, 2], or a reason: see `why_not`.
    """
    if knobs is not None or start is not None:
        return why_not(points) or project(method, reduced(points, seed), seed, knobs, start)
    key = method, seed, points.shape, hashlib.sha256(points.tobytes()).digest()
    if key not in _found:
        while len(_found) >= _REMEMBERED:
            _found.pop(next(iter(_found)))
        _found[key] = why_not(points) or project(method, reduced(points, seed), seed)
    return _found[key]


def why_not(points: Points) -> str | None:
    """Why points [points, D] make no picture: fewer than 10, features that are not finite or all the same."""
    if len(points) < MIN_POINTS:
        return f"only {len(points)} points"
    if not np.isfinite(points).all():
        return "features are not finite"
    if np.abs(points - points.mean(axis=0)).max(initial=0) <= 1e-6 * np.abs(points).max(initial=0):
        return "collapsed:\nall features are the same"
    return None


def reduced(points: Points, seed: int) -> Points:
    """The first principal components [points, 2 to 50] of features, centred and L2-normalised as kNN compares them.

    Zeros stand where the data has only one dimension.
    """
    from sklearn.decomposition import PCA

    centred = points - points.mean(axis=0)
    normalised = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found = PCA(min(DIMENSIONS, *points.shape), random_state=seed % 2**32).fit_transform(normalised)
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def project(
    method: Method, points: Points, seed: int, knobs: Knobs | None = None, start: Points | None = None
) -> Points:
    """[points, 2] of points [points, 2 to 50] that `reduced` gave; the rest as in `embed`."""
    return _EMBEDDERS[method](points, seed % 2**32, (knobs or Knobs()).for_points(len(points)), start)


def turned(points: Points, shared: Points, fixed: Points) -> Points:
    """Points moved, turned and mirrored as a whole, so that some of them come to lie as near to `fixed` as they can.

    Orthogonal Procrustes (Schoenemann 1966, doi:10.1007/BF02289451): the distances between the points stay.

    Args:
        points: [points, 2].
        shared: [shared, 2], those of them whose places elsewhere are known.
        fixed: [shared, 2], these places.
    """
    from scipy.linalg import orthogonal_procrustes

    centre, there = shared.mean(axis=0), fixed.mean(axis=0)
    turn, _ = orthogonal_procrustes(shared - centre, fixed - there)
    return np.asarray((points - centre) @ turn + there, np.float64)


def _pca(points: Points, seed: int, knobs: Knobs, start: Points | None) -> Points:  # noqa: ARG001 (one signature)
    return points[:, :2]


def _tsne(points: Points, seed: int, knobs: Knobs, start: Points | None) -> Points:
    from sklearn.manifold import TSNE

    first = "pca" if start is None else _small(start)
    tsne = TSNE(perplexity=knobs.perplexity, init=first, max_iter=500, random_state=seed, n_jobs=1)
    return np.asarray(tsne.fit_transform(points), np.float64)


def _small(start: Points) -> NDArray[np.float32]:
    """At the size at which t-SNE should begin (Kobak and Berens 2019, doi:10.1038/s41467-019-13056-x)."""
    centred = start - start.mean(axis=0)
    return np.asarray(centred / max(float(centred[:, 0].std()), 1e-12) * 1e-4, np.float32)


def _umap(points: Points, seed: int, knobs: Knobs, start: Points | None) -> Points:
    first = "pca" if start is None else start.astype(np.float32)
    settings = {"n_neighbors": knobs.neighbours, "min_dist": knobs.min_dist}
    umap = load_umap()(**settings, init=first, n_epochs=200, random_state=seed, n_jobs=1)
    return np.asarray(umap.fit_transform(points), np.float64)


_Embedder = Callable[[Points, int, Knobs, Points | None], Points]
_EMBEDDERS: dict[Method, _Embedder] = {"pca": _pca, "tsne": _tsne, "umap": _umap}
