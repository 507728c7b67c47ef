"""A small hierarchy of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from architecture.geometry import Geometry
from architecture.hierarchy import HierarchicalTransformer
from architecture.stem import build_stem

GRID, PATCH = (2, 3), 4
# Every width is its own, so that a mix-up of levels does not fit.
DIMS = {"backbone": 14, "space": 16, "time": 20, "clip": 24}


def frames_of(groups: Sequence[str]) -> tuple[int, int]:
    """Frames per clip and clips: one frame, one clip of six, or three clips of two."""
    if "time" not in groups:
        return 1, 1
    return (2, 3) if "clip" in groups else (6, 1)


@pytest.fixture
def make_hierarchy() -> Callable[..., HierarchicalTransformer]:
    def make(
        groups: Sequence[str] = ("space", "time", "clip"),
        *,
        causal: Sequence[str] = (),
        stem: str = "linear",
        temporal: bool = False,
        isolation: str = "strict",
        noise: float = 0.0,
        batchnorm: bool = False,
        weight_init: str | dict[str, str] = "torch",
        dropout: float = 0.0,
        skip: float = 0.0,
        positions: str = "learned",
    ) -> HierarchicalTransformer:
        torch.manual_seed(0)
        levels = {
            name: {
                "dim": DIMS[name],
                "layers": 2,
                "heads": 2,
                "head_dim": 4,
                "mlp_dim": 18,
                "dropout": dropout,
                "stochastic_depth": skip,
                "causal_mask": name in causal,
                "position_embedding": positions,
            }
            for name in groups
            if name != "backbone"
        }
        per_clip, clips = frames_of(groups)
        return HierarchicalTransformer(
            levels,
            geometry=Geometry(tuple(groups), GRID, per_clip, clips),
            stem=build_stem(stem, PATCH, DIMS["backbone"], temporal, 0.1),
            stem_dim=DIMS["backbone"],
            weight_init=dict.fromkeys(("backbone", *levels), weight_init)
            if isinstance(weight_init, str)
            else weight_init,
            next_token=True,
            isolation=isolation,
            interlevel_noise=noise,
            output_batchnorm=batchnorm,
            batchnorm_momentum=0.1,
        )

    return make


@pytest.fixture
def make_video() -> Callable[..., Tensor]:
    def make(groups: Sequence[str] = ("space", "time", "clip"), batch: int = 2, seed: int = 1) -> Tensor:
        per_clip, clips = frames_of(groups)
        shape = (batch, per_clip * clips, 3, GRID[0] * PATCH, GRID[1] * PATCH)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    return make
