"""A split as an encoder sees it: one vector for every video, and one for every view of it, at every level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog
from monitors import Singles

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Groups = NDArray[Any] | None
"""The group (subject, source) of each video; None: each is a group of its own."""


@dataclass(frozen=True)
class EncodedSplit:
    """A split as an encoder sees it; a view is a crop of an evaluation window.

    Arrays of a large split are memory maps of a file: read them in blocks.
    """

    features: dict[int, dict[str, FloatArray]]
    """By number of parts K and level: [N, K, D], the mean over views, and over units of each K-th of a video."""
    singles: Singles
    """Single units and windows, for the monitors."""
    labels: dict[str, LabelSet]
    """The label sets of the N videos."""
    rows: IntArray
    """[N] catalog rows; a video that could not be read is absent."""
    views: dict[int, dict[str, FloatArray]] = field(default_factory=dict)
    """By number of parts K and level: [V, K, D], the mean over a view's units of each K-th of its video."""
    view_shown: dict[int, FloatArray] = field(default_factory=dict)
    """By number of parts K: [V, K], the share of a view's units in each part; where it is 0, `views` says nothing."""
    view_video: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    """[V] the video that a view is of, an index into the N videos; ascending."""
    view_frames: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """[V, T] the frames that a view shows, positions in its video."""
    multi: dict[str, MultiLabelSet] = field(default_factory=dict)
    """The label sets of the N videos that say several classes at once."""
    groups: Groups = None
    """[N]."""
    file: Path | None = None
    """Where the arrays lie, if not in memory."""

    @classmethod
    def of_videos(
        cls,
        features: dict[int, dict[str, FloatArray]],
        labels: dict[str, LabelSet],
        multi: Mapping[str, MultiLabelSet] | None = None,
        groups: Groups = None,
        rows: IntArray | None = None,
    ) -> Self:
        """A split of which there is one vector per video and part: each video is its own only view.

        Args:
            features: by number of parts and level, [N, K, D].
            labels: of the N videos.
            multi: of the N videos.
            groups: [N].
            rows: [N]; None: from 0.
        """
        videos = len(next(iter(next(iter(features.values())).values())))
        shown = {parts: np.ones((videos, parts), np.float32) for parts in features}
        numbers = np.arange(videos)
        return cls(
            features,
            Singles({}, {}, numbers),
            labels,
            numbers if rows is None else rows,
            views=features,
            view_shown=shown,
            view_video=numbers,
            view_frames=np.zeros((videos, 0), np.int64),
            multi=dict(multi or {}),
            groups=groups,
        )


def groups_of(catalog: Catalog) -> Groups:
    """[N] what the column `group` says of each video, and something unique where it says nothing; None without it."""
    if "group" not in catalog.table:
        return None
    groups = catalog.table["group"].to_numpy(object)
    return np.array([f"group {name}" if name else f"row {row}" for row, name in enumerate(map(str, groups))], object)
