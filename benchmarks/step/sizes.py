"""The sizes at which training steps are compared: frames, pixels and widths, as overrides of a config."""

from __future__ import annotations

from config.load import load_config
from config.schema import Config

LEVELS = ("backbone", "space", "time", "clip")


def _vit(dim: int, heads: int) -> list[str]:
    """12 blocks for `space` and 4 for `time`, of one width, on 224 x 224 pixels."""
    block = f"dim: {dim}, heads: {heads}, head_dim: 64, mlp_dim: {4 * dim}, pred_h_dim: {dim}"
    return [
        "groups=[space,time]",
        "frame_size=[224,224]",
        "hierarchy.patch_size=16",
        f"hierarchy.backbone.dim={dim}",
        f"hierarchy.space={{{block}, layers: 12}}",
        f"hierarchy.time={{{block}, layers: 4}}",
    ]


SIZES: dict[str, tuple[int, int, list[str]]] = {
    "tiny": (4, 2, ["frame_size=[16,24]", "hierarchy.patch_size=8", "hierarchy.frames_per_clip=2"]),
    "quickstart": (8, 64, []),
    "cnn60": (
        20,
        16,
        ["frame_size=[60,80]", "hierarchy.stem=cnn", "hierarchy.patch_size=20", "hierarchy.frames_per_clip=5"],
    ),
    "vits": (16, 2, _vit(384, 6)),
    "vitb": (16, 2, _vit(768, 12)),
}
"""By name: frames, batch on a CPU, and overrides of the defaults."""


def config_of(size: str, frames: int, batch: int, *options: str, views: int = 1) -> Config:
    """The defaults at a size, with one view of each window as it is, or two; no augmentation, no clipping.

    Args:
        size: a name of `SIZES`.
        frames: of a window.
        batch: windows.
        options: further overrides.
        views: 1 or 2 at every level.
    """
    overrides = [
        "mean=[0.3,0.3,0.3]",
        "std=[0.15,0.15,0.15]",
        f"batch_size={batch}",
        f"window.length={frames}",
        "dataset.root=nowhere",
        *SIZES[size][2],
        "scheduler={name: constant, warmup: 0.0}",
    ]
    seen = "[weak, weak]" if views == 2 else "[none]"
    overrides += [f"hierarchical.views.{level}={seen}" for level in LEVELS]
    if views == 1:
        overrides += [f"hierarchical.loss_weights.{level}.invariance=0" for level in LEVELS]
    return load_config("quickstart.yaml", [*overrides, *options]).config
