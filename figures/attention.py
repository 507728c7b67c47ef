"""What the summary of each level is made of: patches as heat over the frames, frames and clips as bars below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from torch import nn

from architecture.attention_maps import SummaryAttention, feature_attention, summary_attention
from architecture.geometry import Geometry
from architecture.hierarchy import HierarchicalTransformer
from architecture.joint_transformer import JointTransformer
from architecture.tubelets import by_frame
from figures.frame_rows import FramePlaces, bare, draw_frames, name_row
from figures.sampled_windows import SampledWindows, first_of
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering

DRAWN = 3  # windows
CAPTION_CELLS = 110
HEAT = "inferno"  # rises in lightness alone, so that it is read without colours, too
SHARE_OF_HEAT = 0.65  # the rest is the frame, in grey
KINDS = {"last": ("last block", "#0072b2", ""), "rollout": ("rollout", "#e69f00", "////")}


def draw_attention(sampled: SampledWindows, encoder: nn.Module, folder: Path) -> Path | None:
    """Draws `attention.png`.

    Args:
        sampled: windows; the first few are drawn.
        encoder: whose attention it is.
        folder: where the figure goes.

    Returns:
        Its path; None where the encoder has no attention.
    """
    shown = first_of(sampled, DRAWN)
    if isinstance(encoder, HierarchicalTransformer):
        geometry = encoder.geometry
        seen = {name: _by_kind(maps) for name, maps in summary_attention(encoder, shown.video_BTCHW).items()}
    elif isinstance(encoder, JointTransformer):
        frames = shown.video_BTCHW.shape[1]
        geometry = Geometry((encoder.level,), encoder.grid[1:], frames, clips=1)
        of_tubelets = _by_kind(feature_attention(encoder, shown.video_BTCHW))
        seen = {encoder.level: {kind: _of_frames(maps, encoder, frames) for kind, maps in of_tubelets.items()}}
    else:
        return None
    letters = Lettering()
    captions = [letters.text(caption, CAPTION_CELLS, lines=2) for caption in shown.captions]
    with mpl.rc_context(STYLE | letters.style):
        fig = _draw(shown.frames_BTHWC, captions, seen, geometry)
        return save_figure(fig, folder / "attention.png")


def _by_kind(maps: SummaryAttention) -> dict[str, NDArray[np.float32]]:
    """By kind [B, G, N], as multiples of what each token would count if all counted the same."""
    found = {"last": maps.last_BGN, "rollout": maps.rollout_BGN}
    return {
        kind: (maps_BGN / maps_BGN.sum(dim=-1, keepdim=True) * maps_BGN.shape[-1]).cpu().numpy()
        for kind, maps_BGN in found.items()
    }


def _of_frames(maps_B1N: NDArray[np.float32], encoder: JointTransformer, frames: int) -> NDArray[np.float32]:
    """What tubelets count, for each patch of each frame: [B, T, P]."""
    maps_BN = torch.from_numpy(maps_B1N[:, 0])
    grid = (maps_BN.shape[1] // (encoder.grid[1] * encoder.grid[2]), *encoder.grid[1:])
    found: NDArray[np.float32] = by_frame(maps_BN, grid, encoder.tubelet, frames).numpy()
    return found


def _draw(
    frames_BTHWC: NDArray[np.uint8],
    captions: Sequence[str],
    seen: Mapping[str, Mapping[str, NDArray[np.float32]]],
    geometry: Geometry,
) -> Figure:
    """Below each other for every window: its frames, the heat of both kinds, and the bars of every upper level.

    The lowest level has the weights of the patches of each frame, [B, T, P].
    """
    places = FramePlaces.of(geometry.frames, geometry.clips)
    width = places.figure_width()
    tall = places.row_height(frames_BTHWC.shape[2] / frames_BTHWC.shape[3], width)
    lowest, *upper = seen
    heights = [tall] * 3 + [0.55] * len(upper)
    fig = Figure((width, len(captions) * (sum(heights) + 0.6) + 0.5), layout="constrained")
    parts = fig.subfigures(len(captions), 1, squeeze=False)[:, 0]
    norms = {kind: Normalize(0, _top([seen[lowest][kind]])) for kind in KINDS}
    for number, (part, caption) in enumerate(zip(parts, captions, strict=True)):
        axes = part.subplots(len(heights), 1, height_ratios=heights)
        axes[0].set_title(caption, loc="left", fontsize=9, parse_math=False)
        frames = frames_BTHWC[number, : geometry.frames]
        draw_frames(axes[0], frames, places)
        name_row(axes[0], "frames")
        for ax, (kind, (name, *_)) in zip(axes[1:3], KINDS.items(), strict=True):
            draw_frames(ax, _heated(frames, seen[lowest][kind][number], geometry.grid, norms[kind]), places)
            name_row(ax, f"{lowest},\n{name}")
            bar = fig.colorbar(ScalarMappable(norms[kind], HEAT), ax=ax, pad=0.01, aspect=6, fraction=0.03, shrink=0.75)
            bar.ax.tick_params(labelsize=7)
        for ax, level in zip(axes[3:], upper, strict=True):
            _draw_bars(ax, {kind: seen[level][kind][number] for kind in KINDS}, places)
            ax.set_ylim(0, _top([seen[level][kind] for kind in KINDS]) * 1.05)
            name_row(ax, level)
    _explain(fig)
    return fig


def _top(maps: Sequence[NDArray[np.float32]]) -> float:
    """The end of a scale that begins at 0: no value but a few lies above it."""
    return max(1.5, *(float(np.nanpercentile(values, 99.5)) for values in maps))


def _heated(
    frames_THWC: NDArray[np.uint8], weights_TP: NDArray[np.float32], grid: tuple[int, int], norm: Normalize
) -> NDArray[np.uint8]:
    """Grey frames under the weights of their patches."""
    height, width = frames_THWC.shape[1:3]
    grey_THW1 = frames_THWC.mean(axis=3, keepdims=True) / 255
    maps_THW = weights_TP.reshape(-1, *grid).repeat(height // grid[0], axis=1).repeat(width // grid[1], axis=2)
    heat_THWC = mpl.colormaps[HEAT](norm(maps_THW))[..., :3]
    mixed_THWC = SHARE_OF_HEAT * heat_THWC + (1 - SHARE_OF_HEAT) * grey_THW1
    pixels: NDArray[np.uint8] = (255 * mixed_THWC).round().astype(np.uint8)
    return pixels


def _draw_bars(ax: Axes, weights: Mapping[str, NDArray[np.float32]], places: FramePlaces) -> None:
    """Bars of both kinds side by side below the units that they are of."""
    for place, (kind, weights_GN) in enumerate(weights.items()):
        left_U, width_U = places.spans(weights_GN.size)
        _, colour, hatch = KINDS[kind]
        half_U = width_U / 2
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        ax.bar(left_U + place * half_U, weights_GN.reshape(-1), half_U * 0.94, align="edge", **look)
    ax.axhline(1, color="#555555", linestyle="--", linewidth=0.8)
    bare(ax)
    ax.set(xlim=(0, places.width), yticks=[0, 1])
    ax.tick_params(axis="y", labelsize=7, length=2)


def _explain(fig: Figure) -> None:
    looks = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=f"bars: {name}")
        for name, colour, hatch in KINDS.values()
    ]
    fig.legend(handles=looks, loc="outside lower center", ncols=2)
    title = "What each summary attends to; 1 (dashed) is what a token counts where all count the same"
    fig.suptitle(title, fontsize=10, fontweight="bold")
