"""The idea: every level trained as its own network, by predicting up, down and sideways."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from architecture.hierarchy import HierarchicalTransformer
from architecture.stem import patchify
from config.schema import Config
from tasks.objective import LevelObjective
from tasks.task import Losses, Task


def build_hierarchy(config: Config, *, isolated: bool) -> HierarchicalTransformer:
    """The hierarchy that `config` describes."""
    levels: dict[str, dict[str, Any]] = {
        name: config.level(name).model_dump(exclude={"pred_h_dim"}) | {"position_embedding": config.position_embedding}
        for name in config.groups
    }
    height, width = config.frame_size
    return HierarchicalTransformer(
        levels,
        frame_size=(height, width),
        patch_size=config.patch_size,
        frames_per_clip=config.frames_per_clip,
        clips=config.clips,
        weight_init=config.weight_init,
        isolated=isolated,
    )


class HierarchicalTask(Task):
    """The hierarchy and one objective per level.

    With `isolation: strict` the loss of a level moves that level alone: its input and its targets are detached.
    With `end2end` the inputs are not, so that every loss also moves all levels below.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.hierarchy = build_hierarchy(config, isolated=config.isolation == "strict")
        names = list(config.groups)
        dims = [config.level(name).dim for name in names]
        pixels = 3 * config.patch_size**2
        child_dims = [pixels if config.down_target == "pixels" else dims[0], *dims]
        parent_dims = [*dims[1:], None]
        self.objectives = nn.ModuleDict(
            {
                name: LevelObjective(
                    config,
                    name,
                    units=config.units(name),
                    children=self.hierarchy.tokens_per_unit[name],
                    child_dim=child_dim,
                    parent_dim=parent_dim,
                )
                for name, child_dim, parent_dim in zip(names, child_dims, parent_dims, strict=False)
            }
        )

    @property
    def encoder(self) -> nn.Module:
        """The hierarchy itself."""
        return self.hierarchy

    def losses(self, video_BTCHW: Tensor, rows_B: Tensor, frames_BT: Tensor, generator: torch.Generator) -> Losses:
        """See `Task.losses`; terms are up, down, side and those of the regulariser."""
        patches_BTPD, units = self.hierarchy.encode(video_BTCHW)
        below = patchify(video_BTCHW, self.config.patch_size) if self.config.down_target == "pixels" else patches_BTPD
        names = list(units)
        losses = {}
        for name, above in zip(names, [*names[1:], None], strict=True):
            parents = units[above] if above else None
            losses[name] = self.objectives[name](units[name], self._grouped(name, below), parents, generator)
            below = units[name]
        return losses

    def _grouped(self, name: str, below: Tensor) -> Tensor:
        """The units below, by the unit that they belong to: [B, U, N, E]."""
        return below if below.ndim == 4 else below.unflatten(1, (-1, self.hierarchy.tokens_per_unit[name]))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """One group per level: the level, its input projection, its predictors and its projector."""
        return {
            name: [*parameters, *self.objectives[name].parameters()]
            for name, parameters in self.hierarchy.level_parameters().items()
        }
