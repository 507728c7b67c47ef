"""Looks at the same windows, encoded level by level as one batch: a level can be trained before the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from architecture.hierarchy import HierarchicalTransformer, Reached, Units
from tasks.looks import Look


class Ascent:
    """The way of several looks up the hierarchy, each as far as any level needs it.

    Args:
        hierarchy: what encodes them.
        videos: normalised windows [B, T, C, H, W] by look, as many of each.
        height: by look, the number of the level in `groups` that it goes up to.
        gradient: whether for training; else no graph is built.
        kept_BTK: the patches that `space` sees of each frame of all looks, those that go farthest first; None: all.
    """

    def __init__(
        self,
        hierarchy: HierarchicalTransformer,
        videos: Mapping[Look, Tensor],
        height: Mapping[Look, int],
        *,
        gradient: bool = True,
        kept_BTK: Tensor | None = None,
    ) -> None:
        self._height, self._groups, self._gradient = height, hierarchy.groups, gradient
        # Those that go farthest first, so that the looks of every level are the first windows of the batch.
        self._order = sorted(videos, key=lambda look: -height[look])
        windows = {
            level: sum(len(videos[look]) for look in self._going(number)) for number, level in enumerate(self._groups)
        }
        self.units: dict[Look, Units] = {}
        """By look, the units of the levels that it has reached."""
        self._levels = hierarchy.climb(torch.cat([videos[look] for look in self._order]), windows, kept_BTK)
        self._reached: set[str] = set()

    def reach(self, level: str) -> dict[Look, Units]:
        """Goes on up to `level`, and gives the units of all looks so far."""
        while level not in self._reached:
            with torch.set_grad_enabled(self._gradient and torch.is_grad_enabled()):
                reached = next(self._levels, None)
            if reached is None:
                break
            self._reached.add(reached.name)
            self._take(reached)
        return self.units

    def _going(self, number: int) -> Sequence[Look]:
        """The looks that go as far as level `number`; all have patches."""
        return [look for look in self._order if self._height[look] >= number]

    def _take(self, reached: Reached) -> None:
        """Shares the units of a level out among the looks."""
        name = reached.name
        looks = self._going(self._groups.index(name) if name in self._groups else 0)
        if name == "backbone":  # every look has patches, also where patches are no level
            looks = self._order
            for look, patches_BTPD in zip(looks, reached.tokens_BGND.chunk(len(looks)), strict=True):
                self.units[look] = Units(patches_BTPD, {}, {})
        if name not in self._groups:
            return
        for look, summaries_BUD in zip(looks, reached.summaries_BUD.chunk(len(looks)), strict=True):
            self.units[look].summaries[name] = summaries_BUD
        if reached.is_causal:
            for look, states_BGND in zip(looks, reached.tokens_BGND.chunk(len(looks)), strict=True):
                self.units[look].states[name] = states_BGND
