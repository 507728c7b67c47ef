"""The tokens of each level as colours: what has the same colour is much the same to the level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from architecture.geometry import Geometry
from architecture.hierarchy import HierarchicalTransformer
from architecture.joint_transformer import JointTransformer
from architecture.tubelets import by_frame
from figures.frame_rows import FramePlaces, bare, draw_frames, name_row
from figures.sampled_windows import SampledWindows
from runs.process.seeds import numpy_generator
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering

DRAWN = 4  # windows; the components are fitted over all that are sampled
FITTED = 8192  # tokens of a level
CAPTION_CELLS = 110
BATCH = 8  # windows that are encoded at once
_TOKENS = {"backbone": "patches", "space": "patches", "time": "frames", "clip": "clips"}
_TUBELETS = "tubelets"
_OF_PATCHES = ("patches", _TUBELETS)
FloatArray = NDArray[np.float32]


def draw_token_colours(sampled: SampledWindows, encoder: nn.Module, seed: int, folder: Path) -> Path | None:
    """Draws `token_colours.png`: the first three principal components of each level's tokens as a colour.

    The components are those of the tokens of all sampled windows. The first one is lightness, the second goes from
    yellow to blue, the third from green to red, so that those who cannot tell red from green miss the least.

    Args:
        sampled: windows; the first few are drawn.
        encoder: whose tokens they are.
        seed: of the tokens that are fitted, where there are many.
        folder: where the figure goes.

    Returns:
        Its path; None where the encoder has no tokens.
    """
    if not isinstance(encoder, HierarchicalTransformer | JointTransformer):
        return None
    geometry, names = _places(encoder, sampled.video_BTCHW.shape[1])
    colours, shares = {}, {}
    for level, tokens_BGND in _tokens(sampled, encoder).items():
        colours[level], shares[level] = component_colours(tokens_BGND, seed)
        if isinstance(encoder, JointTransformer):
            colours[level] = _of_frames(colours[level], encoder, geometry.frames)
    letters = Lettering()
    captions = [letters.text(caption, CAPTION_CELLS, lines=2) for caption in sampled.captions[:DRAWN]]
    with mpl.rc_context(STYLE | letters.style):
        fig = _draw(sampled.frames_BTHWC, captions, colours, shares, geometry, names)
        return save_figure(fig, folder / "token_colours.png")


def _places(encoder: HierarchicalTransformer | JointTransformer, frames: int) -> tuple[Geometry, dict[str, str]]:
    """Where the tokens stand, and by level what they are; tubelets stand where their patches do."""
    if isinstance(encoder, HierarchicalTransformer):
        return encoder.geometry, _TOKENS
    return Geometry((encoder.level,), encoder.grid[1:], frames, clips=1), {encoder.level: _TUBELETS}


def _of_frames(colours_B1N3: FloatArray, encoder: JointTransformer, frames: int) -> FloatArray:
    """The colours of tubelets for each patch of each frame: [B, T, P, 3]."""
    colours_BN3 = torch.from_numpy(colours_B1N3[:, 0])
    grid = (colours_BN3.shape[1] // (encoder.grid[1] * encoder.grid[2]), *encoder.grid[1:])
    found: FloatArray = by_frame(colours_BN3, grid, encoder.tubelet, frames).numpy()
    return found


@torch.no_grad()
def _tokens(sampled: SampledWindows, encoder: HierarchicalTransformer | JointTransformer) -> dict[str, FloatArray]:
    """By level [B, G, N, D]."""
    was_training = encoder.training
    encoder.eval()
    found: dict[str, list[FloatArray]] = {}
    for video_BTCHW in sampled.video_BTCHW.split(BATCH):
        for level, tokens_BGND in encoder.features_and_tokens(video_BTCHW)[1].items():
            found.setdefault(level, []).append(tokens_BGND.float().cpu().numpy())
    encoder.train(was_training)
    return {level: np.concatenate(batches) for level, batches in found.items()}


def component_colours(tokens: FloatArray, seed: int) -> tuple[FloatArray, list[float]]:
    """The first three principal components of vectors as colours.

    Args:
        tokens: [..., D].
        seed: of the vectors that are fitted, where there are many.

    Returns:
        Colours [..., 3] in [0, 1], grey where the vectors do not differ; and the shares of the variance of the three.
    """
    vectors_MD = tokens.reshape(-1, tokens.shape[-1]).astype(np.float64)
    fitted_FD = vectors_MD[numpy_generator(seed, len(vectors_MD)).permutation(len(vectors_MD))[:FITTED]]
    mean_D = fitted_FD.mean(axis=0)
    _, lengths, axes = np.linalg.svd(fitted_FD - mean_D, full_matrices=False)
    # The side of a component is arbitrary: that of its largest number is taken.
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    components_M3 = np.full((len(vectors_MD), 3), 0.5)
    total, scale = float((lengths**2).sum()), float(np.abs(fitted_FD).max(initial=0.0))
    shares = []
    for number, (axis_D, length) in enumerate(zip(axes[:3], lengths[:3], strict=True)):
        if length <= 1e-6 * scale:  # rounding
            break
        values_M = (vectors_MD - mean_D) @ axis_D
        low, high = np.percentile(values_M, [1, 99])
        components_M3[:, number] = np.clip((values_M - low) / max(high - low, 1e-12), 0, 1)
        shares.append(float(length**2 / total))
    return _as_colours(components_M3).reshape(*tokens.shape[:-1], 3), shares


def _as_colours(components_M3: NDArray[np.float64]) -> FloatArray:
    """Lightness, blue against yellow, and red against green, each in [0, 1], as RGB (the axes of ITU-R BT.601)."""
    light = 0.2 + 0.6 * components_M3[:, 0]
    blue, red = (0.6 * (components_M3[:, number] - 0.5) for number in (1, 2))
    rgb = np.stack([light + 1.402 * red, light - 0.344 * blue - 0.714 * red, light + 1.772 * blue], axis=1)
    colours: FloatArray = np.clip(rgb, 0, 1).astype(np.float32)
    return colours


def _draw(
    frames_BTHWC: NDArray[np.uint8],
    captions: Sequence[str],
    colours: Mapping[str, FloatArray],
    shares: Mapping[str, Sequence[float]],
    geometry: Geometry,
    names: Mapping[str, str],
) -> Figure:
    """Below each other for every window: its frames, patches in colours for every level that has them, and bars."""
    places = FramePlaces.of(geometry.frames, geometry.clips)
    width = places.figure_width()
    tall = places.row_height(frames_BTHWC.shape[2] / frames_BTHWC.shape[3], width)
    heights = [tall] + [tall if names[level] in _OF_PATCHES else 0.22 for level in colours]
    fig = Figure((width, len(captions) * (sum(heights) + 0.07 * len(heights) + 0.35) + 0.6))
    fig.set_layout_engine("constrained", h_pad=0.02, hspace=0)
    parts = fig.subfigures(len(captions), 1, squeeze=False)[:, 0]
    for number, (part, caption) in enumerate(zip(parts, captions, strict=True)):
        axes = part.subplots(len(heights), 1, height_ratios=heights)
        axes[0].set_title(caption, loc="left", fontsize=9, parse_math=False)
        draw_frames(axes[0], frames_BTHWC[number, : geometry.frames], places)
        name_row(axes[0], "frames")
        for ax, (level, of_level) in zip(axes[1:], colours.items(), strict=True):
            if names[level] in _OF_PATCHES:
                patches = of_level[number].reshape(geometry.frames, *geometry.grid, 3)
                draw_frames(ax, (255 * _as_large(patches, frames_BTHWC)).round().astype(np.uint8), places)
            else:
                _draw_blocks(ax, of_level[number].reshape(-1, 3), places)
            name_row(ax, f"{level}: {names[level]}")
    words = [
        f"{level} {' + '.join(f'{100 * share:.0f}' for share in of_level)} %" for level, of_level in shares.items()
    ]
    title = (
        f"Tokens in the colours of their first three principal components\nshares of the variance: {', '.join(words)}"
    )
    fig.suptitle(title, fontsize=9, fontweight="bold")
    return fig


def _as_large(patches_TRC3: FloatArray, frames_BTHWC: NDArray[np.uint8]) -> FloatArray:
    """Patches at the size of the frames."""
    tall, wide = (size // count for size, count in zip(frames_BTHWC.shape[2:4], patches_TRC3.shape[1:3], strict=True))
    return patches_TRC3.repeat(tall, axis=1).repeat(wide, axis=2)


def _draw_blocks(ax: Axes, colours_U3: FloatArray, places: FramePlaces) -> None:
    """A block of its colour below each frame or clip."""
    left_U, width_U = places.spans(len(colours_U3))
    ax.bar(left_U, np.ones(len(left_U)), width_U, align="edge", color=colours_U3)
    ax.set(xlim=(0, places.width), ylim=(0, 1))
    bare(ax)
