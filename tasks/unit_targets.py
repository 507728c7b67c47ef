"""What the units of a look are as targets: normalised, detached where asked for, each made once."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from architecture.hierarchy import Units
from architecture.stem import patchify
from config.schema import Config
from losses import patch_target, summary_target
from tasks.encoder_settings import HierarchySettings
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.objective import Targets


class UnitTargets:
    """The targets of one look at a batch of windows, made level by level as its units come to be known.

    Args:
        config: the whole config.
        units: those that are predicted; a level's are needed once a target of it is asked for.
        video_BTCHW: what they were made of.
    """

    def __init__(self, config: Config, units: Units, video_BTCHW: Tensor) -> None:
        self.config, self.settings = config, config.section(HierarchicalSettings)
        self._units, self._video_BTCHW = units, video_BTCHW
        norm = self.settings.target_norm
        self._target = partial(summary_target, norm=norm, detach=self.settings.detach_targets)
        self._beside = partial(summary_target, norm=norm, detach=self.settings.detach_side_targets)
        self._own: dict[str, Tensor] = {}
        self._made: dict[str, Targets] = {}

    def of(self, level: str) -> Targets:
        """What `level` predicts. The level above it counts where the look has come as far when first asked."""
        if level not in self._made:
            self._made[level] = self._targets(level)
        return self._made[level]

    def _targets(self, level: str) -> Targets:
        above = self.config.geometry.above(level)
        known = above is not None and above in self._units.summaries
        # Both ends of `side` are units of one level, so letting gradient into both keeps levels isolated.
        same = self._own_of(level) if self.settings.detach_side_targets else self._beside(self._units.summaries[level])
        return Targets(same, self._below(level), self._above(above) if above and known else None)

    def _own_of(self, level: str) -> Tensor:
        """The units of `level` [B, U, D] as other levels predict them."""
        if level not in self._own:
            self._own[level] = self._target(self._units.summaries[level])
        return self._own[level]

    def _above(self, level: str) -> Tensor:
        """The units of `level` as the level below it predicts them; of a causal one, its states [B, M, D]."""
        if level not in self._units.states:
            return self._own_of(level)
        # The last state has nothing after it, and so no supervision: it is not a target.
        return self._target(self._units.states[level].flatten(1, 2)[:, :-1])

    def _below(self, level: str) -> Tensor | None:
        """What units of `level` predict inside them, [B, M, E]; None for patches."""
        if level == "space":
            return self._patches()
        groups = self.config.groups
        number = list(map(str, groups)).index(level)
        return self._own_of(groups[number - 1]) if number else None

    def _patches(self) -> Tensor:
        """The patches of all frames: their pixels or their tokens, [B, M, E]."""
        if self.settings.down_target == "pixels":
            # Unlike a learned target, it cannot collapse. Normalised per patch, else the loss is mostly about how
            # bright and how contrasted a patch is.
            patch_size = self.config.section(HierarchySettings).patch_size
            return patch_target(patchify(self._video_BTCHW, patch_size)).flatten(1, 2)
        if "backbone" in self._units.summaries:
            return self._own_of("backbone")
        return self._target(self._units.patches_BTPD.flatten(1, 2))
