"""What is kept of the views of a split while they are encoded, and the split that comes of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import monitors
from architecture.encoder import Features
from config.errors import InputError
from config.schema import Config
from data_utils.batches.windows import num_evaluation_windows
from data_utils.catalog.annotations.classes import part_shares
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import EvaluationViews, crops_per_window
from protocols.encoded_split import EncodedSplit, FloatArray, IntArray, groups_of
from protocols.feature_places import FeaturePlace
from protocols.view_store import Shapes, ViewStore
from runs.process.seeds import torch_generator

_BLOCK = 4096  # views whose mean is taken at once
_COMMIT = 50  # batches between two notes of how far it has come

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedViews:
    """A batch of views, as far as it is kept."""

    by_parts: dict[int, dict[str, Tensor]]
    """By number of parts K and level: [B, K, D], the mean over the units of each K-th of the video."""
    shown: dict[int, Tensor]
    """By number of parts K: [B, K], the share of a view's units in each."""
    units: dict[str, Tensor]
    """By level: [B, U, D], some single units."""

    def on_cpu(self) -> EncodedViews:
        """The same, fetched from the device."""
        by_parts = {
            parts: {level: tensor.cpu() for level, tensor in by_level.items()}
            for parts, by_level in self.by_parts.items()
        }
        return EncodedViews(by_parts, self.shown, {level: tensor.cpu() for level, tensor in self.units.items()})


def count_views(catalog: Catalog, config: Config) -> int:
    """Views of a split, if every window can be read."""
    frames, fps = catalog.table["frames"].to_numpy(np.int64), catalog.table["fps"].to_numpy(np.float64)
    return int(num_evaluation_windows(frames, fps, config.window, config.short_videos).sum()) * crops_per_window(config)


class SplitArrays:
    """The views of a split in the order of the catalog; what an interrupted run has left in a file is there at first.

    Args:
        catalog: the split.
        config: which windows and crops are its views.
        place: where features lie that take too much memory; None: they stay in memory.
    """

    def __init__(self, catalog: Catalog, config: Config, place: FeaturePlace | None) -> None:
        self._catalog, self._seed, self._place = catalog, config.seed, place
        self._views = count_views(catalog, config)
        # A video with several labels in time is averaged part by part, so that each label has a vector of its own.
        self._parts = sorted({1} | {labels.values.shape[1] for labels in catalog.labels.values()})
        self._lengths_N = torch.from_numpy(catalog.table["frames"].to_numpy(np.int64, copy=True))
        # A few units of every window rather than all of the first videos.
        self._units_per_view = max(1, monitors.MAX_UNITS // max(1, self._views))
        self._store = place.reopened() if place else None
        self._reached = self._store.views if self._store else 0
        self._noted = self.batches

    @property
    def is_whole(self) -> bool:
        """Whether all views are there."""
        return self._store is not None and self._store.is_whole

    @property
    def batches(self) -> int:
        """Batches that are there already."""
        return self._store.batches if self._store else 0

    def reduced(self, number: int, views: EvaluationViews, features: Features) -> EncodedViews:
        """What is kept of batch `number`, on the device that computed it."""
        by_parts: dict[int, dict[str, Tensor]] = {parts: {} for parts in self._parts}
        shown: dict[int, Tensor] = {}
        some: dict[str, Tensor] = {}
        lengths_B = self._lengths_N[views.rows_B]
        generator = torch_generator(self._seed, number, 3)
        for level, units_BUD in features.items():
            exact_BUD = units_BUD.float()
            for parts in self._parts:
                share_BKU = part_shares(views.frames_BT, lengths_B, exact_BUD.shape[1], parts)
                weight_BK1 = share_BKU.sum(dim=2, keepdim=True).clamp(min=1e-12)
                by_parts[parts][level] = (share_BKU / weight_BK1).to(exact_BUD.device) @ exact_BUD
                shown.setdefault(parts, share_BKU.mean(dim=2))  # the same at every level
            chosen = torch.randperm(exact_BUD.shape[1], generator=generator)[: self._units_per_view].sort().values
            some[level] = exact_BUD[:, chosen.to(exact_BUD.device)]
        return EncodedViews(by_parts, shown, some)

    def add(self, number: int, views: EvaluationViews, found: EncodedViews) -> None:
        """Takes batch `number`; batches come in order."""
        if self._store is None:
            shapes = self._shapes(views, found)
            self._store = self._place.made(shapes) if self._place else ViewStore.in_memory(shapes)
        arrays = self._store.arrays
        rows = slice(self._reached, self._reached + len(views.rows_B))
        for parts, by_level in found.by_parts.items():
            arrays[f"shown/{parts}"][rows] = found.shown[parts].numpy()
            for level, means_BKD in by_level.items():
                arrays[f"views/{parts}/{level}"][rows] = means_BKD.numpy()
        arrays["row"][rows] = views.rows_B.numpy()
        arrays["frames"][rows] = views.frames_BT.numpy()
        for level, units_BUD in found.units.items():
            kept, flat = arrays[f"units/{level}"], units_BUD.flatten(0, 1).numpy()
            start = self._reached * units_BUD.shape[1]
            kept[start : start + len(flat)] = flat[: max(0, len(kept) - start)]
        self._reached = rows.stop
        if number + 1 - self._noted >= _COMMIT and self._store.path is not None:
            self._store.commit(number + 1, self._reached)
            self._noted = number + 1

    def end(self) -> None:
        """Says that no batch comes any more."""
        if self._store is not None:
            self._store.end(self._reached)

    def _shapes(self, views: EvaluationViews, found: EncodedViews) -> Shapes:
        count = self._views
        shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "row": ((count,), np.int64),
            "frames": ((count, views.frames_BT.shape[1]), np.int64),
        }
        for parts, by_level in found.by_parts.items():
            shapes[f"shown/{parts}"] = (count, parts), np.float32
            for level, means_BKD in by_level.items():
                shapes[f"views/{parts}/{level}"] = (count, *means_BKD.shape[1:]), np.float32
        for level, units_BUD in found.units.items():
            kept = min(monitors.MAX_UNITS, count * units_BUD.shape[1])
            shapes[f"units/{level}"] = (kept, units_BUD.shape[2]), np.float32
        return shapes

    # ------------------------------------------------------------------------------------------------ the split

    def split(self) -> EncodedSplit:
        """The split, once all views are there.

        Raises:
            InputError: none is, or no video can be scored.
        """
        if self._store is None or self._reached == 0:
            raise InputError(
                f"no video of the split {self._catalog.split} can be read any more; bad_videos.csv says why"
            )
        arrays, count = self._store.arrays, self._reached
        row_V, shown = arrays["row"][:count], {k: arrays[f"shown/{k}"][:count] for k in self._parts}
        levels = [name.removeprefix("views/1/") for name in arrays if name.startswith("views/1/")]
        views = {k: {level: arrays[f"views/{k}/{level}"][:count] for level in levels} for k in self._parts}
        seen_N = self._fully_seen(row_V, shown)
        keep_V = seen_N[row_V]
        if not keep_V.all():
            row_V = row_V[keep_V]
            shown = {k: shown_VK[keep_V] for k, shown_VK in shown.items()}
            views = {k: {level: of[keep_V] for level, of in by_level.items()} for k, by_level in views.items()}
        video_V = (np.cumsum(seen_N) - 1)[row_V]
        videos = int(seen_N.sum())
        catalog = self._catalog
        return EncodedSplit(
            features={
                k: {level: _means(of, shown[k], video_V, videos) for level, of in by_level.items()}
                for k, by_level in views.items()
            },
            singles=self._singles(levels, views, row_V, count),
            labels={name: labels.with_rows(seen_N) for name, labels in catalog.labels.items()},
            rows=np.flatnonzero(seen_N),
            views=views,
            view_shown=shown,
            view_video=video_V,
            view_frames=arrays["frames"][:count][keep_V],
            multi={
                name: annotation.with_rows(seen_N)
                for name, annotation in catalog.annotations.items()
                if isinstance(annotation, MultiLabelSet)
            },
            groups=None if (groups_N := groups_of(catalog)) is None else groups_N[seen_N],
            file=self._store.path,
        )

    def _fully_seen(self, row_V: IntArray, shown: Mapping[int, FloatArray]) -> NDArray[np.bool_]:
        """[N] whether views show every part of a video: where they do not, it is left out rather than guessed."""
        sums = {k: np.zeros((len(self._lengths_N), k)) for k in self._parts}
        for parts, shown_VK in shown.items():
            np.add.at(sums[parts], row_V, shown_VK)
        shown_N: NDArray[np.bool_] = sums[1][:, 0] > 0
        seen_N = shown_N.copy()
        for of in sums.values():
            seen_N &= (of > 0).all(axis=1)
        missed = int((shown_N & ~seen_N).sum())
        split = self._catalog.split
        advice = "some of its labels are of parts that no window shows; raise window.eval_windows"
        if not seen_N.any():
            raise InputError(f"no video of the split {split} can be scored: {advice}")
        if missed:
            logger.warning("%s: %d videos are left out: %s", split, missed, advice)
        return seen_N

    def _singles(
        self, levels: list[str], views: Mapping[int, Mapping[str, FloatArray]], row_V: IntArray, count: int
    ) -> monitors.Singles:
        assert self._store is not None
        units = {}
        for level in levels:
            kept = self._store.arrays[f"units/{level}"]
            per_view = max(1, round(len(kept) / self._views))
            units[level] = kept[: count * per_view]
        windows = {level: views[1][level][: monitors.MAX_UNITS, 0] for level in levels}
        return monitors.Singles(units, windows, row_V[: monitors.MAX_UNITS])


def _means(views_VKD: FloatArray, shown_VK: FloatArray, video_V: IntArray, videos: int) -> FloatArray:
    """[N, K, D] the mean over the views of each video, by how much of the part they show."""
    if len(views_VKD) == videos and (shown_VK > 0).all():
        return views_VKD  # one view of each, which may be a memory map
    sums_NKD = np.zeros((videos, *views_VKD.shape[1:]), np.float32)
    weights_NK = np.zeros((videos, shown_VK.shape[1]), np.float32)
    for start in range(0, len(video_V), _BLOCK):
        block = slice(start, start + _BLOCK)
        # The views of a video follow one another.
        first_G = np.flatnonzero(np.diff(video_V[block], prepend=-1))
        video_G = video_V[block][first_G]
        sums_NKD[video_G] += np.add.reduceat(views_VKD[block] * shown_VK[block, :, None], first_G, axis=0)
        weights_NK[video_G] += np.add.reduceat(shown_VK[block], first_G, axis=0)
    sums_NKD /= weights_NK[:, :, None]
    return sums_NKD
