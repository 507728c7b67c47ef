"""The idea: every level trained as its own network, by predicting up, down and sideways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.hierarchy import HierarchicalTransformer, Units
from architecture.stem import patchify, unpatchify
from config.schema import Config
from config.section import LevelName
from data_utils.views.views import TrainingViews, View
from losses import patches_of_target
from tasks.ascent import Ascent
from tasks.encoder import build_hierarchy
from tasks.encoder_checkpoint import load_encoder_checkpoint
from tasks.encoder_settings import HierarchySettings
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.looks import Look, looks_of_levels, view_of
from tasks.objective import LevelObjective, LevelView
from tasks.prediction_maps import ErrorMap, error_maps, predicted_inside, view_distances
from tasks.task import Losses, ParameterGroup, StepContext, Task, evaluating
from tasks.teacher import Following
from tasks.unit_targets import UnitTargets


class HierarchicalTask(Task):
    """The hierarchy and one objective per level.

    With `isolation: strict` and `detach_targets` the loss of a level moves that level alone: its input and its targets
    are detached. `overlap` and `end2end` let it move the level below, or all levels below.

    Every level learns from one view of a window or from two (`views`). With two, each unit meets itself in the other
    view (`invariance`), and predictions go from either view to the other; see `tasks/looks.py`.

    A teacher (`targets: ema`) encodes in evaluation mode: without dropout and noise, and by a BatchNorm's running
    statistics, so that a window's target is a function of that window alone.

    Raises:
        InputError: see `load_encoder_checkpoint`.
    """

    copies: ClassVar[Mapping[str, str]] = {"teacher.": "hierarchy."}

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.settings = config, config.section(HierarchicalSettings)
        self.hierarchy = build_hierarchy(config, self.settings.isolation)
        load_encoder_checkpoint(self.hierarchy, config)
        self.objectives = nn.ModuleDict({name: LevelObjective(config, name) for name in config.groups})
        self.looks_of_levels = looks_of_levels(config)
        # Levels share looks, and a look is encoded once, so three views of a window serve all levels.
        self.looks = list(dict.fromkeys(look for looks in self.looks_of_levels.values() for look in looks))
        self.following: Following[HierarchicalTransformer] | None = None
        self.teacher: HierarchicalTransformer | None = None
        if self.settings.targets == "ema":
            momenta = self.settings.ema.momentum, self.settings.ema.final_momentum
            # The student's statistics are copied: in evaluation mode the teacher's BatchNorm would never count its own.
            self.following = Following(self.hierarchy, *momenta, own_statistics=False)
            self.teacher = self.following.teacher

    @property
    def encoder(self) -> nn.Module:
        """The hierarchy itself; with `targets: ema` too, the student."""
        return self.hierarchy

    @property
    def views(self) -> tuple[View, ...]:
        """The looks of all levels, each once."""
        return tuple(view_of(look, self.config) for look in self.looks)

    @property
    def view_names(self) -> tuple[str, ...]:
        """The strength of each look, and the levels that learn from it."""
        names = []
        for number, look in enumerate(self.looks, start=1):
            levels = [level for level, looks in self.looks_of_levels.items() if look in looks]
            names.append(f"view {number}, {look.strength}: {', '.join(levels)}")
        return tuple(names)

    def train(self, mode: bool = True) -> HierarchicalTask:
        """Sets the mode; the teacher stays in evaluation mode."""
        super().train(mode)
        if self.following is not None:
            self.following.set_mode(mode)
        return self

    def losses(self, batch: TrainingViews, step: StepContext) -> Losses:
        """See `Task.losses`; terms are up, down, side, invariance and those of the regulariser."""
        return dict(self.losses_by_level(batch, step))

    @property
    def levels_share_graph(self) -> bool:
        """Where gradient crosses levels: without isolation, or into targets."""
        return self.settings.isolation != "strict" or not self.settings.detach_targets

    def losses_by_level(self, batch: TrainingViews, step: StepContext) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """See `Task.losses_by_level`: a level is encoded when it, or the level below it, is asked for."""
        videos = dict(zip(self.looks, batch.videos, strict=True))
        # A generator per level: what is drawn for one does not depend on which others are asked for.
        limit = torch.iinfo(torch.int64).max
        seeds = torch.randint(limit, (len(self.objectives),), generator=step.generator).tolist()
        student = followed = self._ascent(self.hierarchy, videos, kept_BTK=self._kept(batch, step.generator))
        if self.teacher is not None:  # which sees all patches
            followed = self._ascent(self.teacher, videos, gradient=False)
        targets: dict[Look, UnitTargets] = {}
        for (name, objective), seed in zip(self.objectives.items(), seeds, strict=True):
            # Predicting up takes one level more than the level itself: its target is the unit above.
            top = self._top_of(name)
            units, predicted = student.reach(top), followed.reach(top)
            if not targets:  # of every look, once: a level may need those of its own view and of the other one
                targets = {look: UnitTargets(self.config, predicted[look], video) for look, video in videos.items()}
            if step.levels is None or name in step.levels:
                views = self._views_of(name, units, targets)
                yield name, objective(views, torch.Generator().manual_seed(seed), step.progress)

    def _top_of(self, level: str) -> LevelName:
        """The highest level that the losses of `level` need the units of."""
        number = list(self.objectives).index(level)
        predicts_up = "up" in cast(LevelObjective, self.objectives[level]).predictors
        return self.config.groups[number + predicts_up]

    def _kept(self, batch: TrainingViews, generator: torch.Generator) -> Tensor | None:
        """The patches that `space` sees of each frame of every look [looks * B, T, K], in order; None: all of them.

        (Dropped at random in training, as in PatchDropout, Liu et al., 2023, arXiv 2208.07220.)
        """
        patches = self.config.geometry.patches
        count = max(1, round(self.settings.token_keep * patches))
        if count == patches or not self.training:
            return None
        shape = (len(self.looks) * len(batch.rows_B), self.config.geometry.frames, patches)
        drawn_BTP = torch.rand(shape, generator=generator)
        return drawn_BTP.argsort(dim=-1)[..., :count].sort(dim=-1).values.to(batch.videos[0].device)

    def _ascent(
        self,
        hierarchy: HierarchicalTransformer,
        videos: dict[Look, Tensor],
        gradient: bool = True,
        kept_BTK: Tensor | None = None,
    ) -> Ascent:
        """The way of every look as far up as any level needs it."""
        groups = self.config.groups
        height: dict[Look, int] = {}
        for name, looks in self.looks_of_levels.items():
            for look in looks:
                height[look] = max(height.get(look, 0), groups.index(self._top_of(name)))
        return Ascent(hierarchy, videos, height, gradient=gradient, kept_BTK=kept_BTK)

    def _views_of(self, level: str, units: dict[Look, Units], targets: dict[Look, UnitTargets]) -> list[LevelView]:
        """The views that `level` learns from: its units in each of them, and what they predict there."""
        looks = self.looks_of_levels[level]
        views = []
        for number, look in enumerate(looks):
            aims = targets[look].of(level)
            if self.settings.predict_across_views and len(looks) > 1:
                across = targets[looks[1 - number]].of(level)
                # In another crop, a patch's place shows something else: patches are predicted in their own view.
                if level == "backbone":
                    aims = replace(across, own_BUD=aims.own_BUD)
                else:
                    aims = replace(across, below_BME=aims.below_BME) if level == "space" else across
            views.append(LevelView(*of_level(units[look], level), aims))
        return views

    def parameter_groups(self) -> dict[str, ParameterGroup]:
        """One group per level: the level, its input projection and its regulariser's projector; and its predictors."""
        groups = {}
        for name, parameters in self.hierarchy.level_parameters().items():
            predictors = list(self.objectives[name].predictors.parameters())  # type: ignore[union-attr]
            # Predictors are a list of their own, since they may learn at another rate than what they predict from.
            apart = {id(parameter) for parameter in predictors}
            others = [parameter for parameter in self.objectives[name].parameters() if id(parameter) not in apart]
            groups[name] = ParameterGroup([*parameters, *others], predictors)
        return groups

    def after_step(self, progress: float) -> None:
        """The teacher follows the model; see `Task.after_step`."""
        if self.following is not None:
            self.following.follow(progress)

    @torch.no_grad()
    def prediction_errors(
        self, video_BTCHW: Tensor, generator: torch.Generator
    ) -> dict[str, dict[str, tuple[float, float]]]:
        """See `Task.prediction_errors`; the windows are seen as they are, and predict units of their own view."""
        # The error is compared with that against another window's target, so there must be another window.
        if len(video_BTCHW) < 2:
            return {}
        with evaluating(self):
            seed = int(torch.randint(torch.iinfo(torch.int64).max, (), generator=generator))
            views = self._views_as_they_are(video_BTCHW)
            return {
                name: cast(LevelObjective, self.objectives[name]).errors(view, seed) for name, view in views.items()
            }

    @torch.no_grad()
    def prediction_maps(self, video_BTCHW: Tensor, views: TrainingViews | None = None) -> dict[str, list[ErrorMap]]:
        """See `Task.prediction_maps`; the windows are seen as they are, and predict units of their own view."""
        if len(video_BTCHW) < 2:
            return {}
        with evaluating(self):
            seen = self._views_as_they_are(video_BTCHW)
            maps = {name: error_maps(cast(LevelObjective, self.objectives[name]), view) for name, view in seen.items()}
            if views is not None and len(views.rows_B) > 1:
                videos = dict(zip(self.looks, views.videos, strict=True))
                units = self._ascent(self.hierarchy, videos).reach(self.config.groups[-1])
                targets = {look: UnitTargets(self.config, units[look], video) for look, video in videos.items()}
                for name, looks in self.looks_of_levels.items():
                    own = [targets[look].of(name).own_BUD for look in looks]
                    maps[name] += view_distances(cast(LevelObjective, self.objectives[name]), own)
            return maps

    @torch.no_grad()
    def predicted_pixels(self, video_BTCHW: Tensor) -> Tensor | None:
        """See `Task.predicted_pixels`; where they predict tokens of the stem (`down_target: stem`), there are none."""
        objective = cast(LevelObjective, self.objectives["space"])
        if self.settings.down_target != "pixels" or "down" not in objective.predictors:
            return None
        patch_size = self.config.section(HierarchySettings).patch_size
        with evaluating(self):
            predicted_BTPD = predicted_inside(objective, self._views_as_they_are(video_BTCHW)["space"])
        if self.settings.loss.scale_free:
            predicted_BTPD = F.layer_norm(predicted_BTPD, predicted_BTPD.shape[-1:])
        true_BTPD = patchify(video_BTCHW, patch_size)
        patches_BTPD = patches_of_target(predicted_BTPD, true_BTPD)
        return unpatchify(patches_BTPD, self.config.geometry.grid[0], patch_size)

    def _views_as_they_are(self, video_BTCHW: Tensor) -> dict[str, LevelView]:
        """By level, windows without augmentation, which predict units of their own view."""
        units = self.hierarchy.encode(video_BTCHW)
        predicted = units if self.teacher is None else self.teacher.encode(video_BTCHW)
        aims = UnitTargets(self.config, predicted, video_BTCHW)
        return {name: LevelView(*of_level(units, name), aims.of(name)) for name in self.objectives}


def of_level(units: Units, name: str) -> tuple[Tensor, Tensor | None]:
    """The summaries [B, U, D] of level `name` and, where it is causal, its states [B, M, D] in the order of time."""
    return units.summaries[name], units.states[name].flatten(1, 2) if name in units.states else None
