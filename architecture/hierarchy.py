"""The hierarchy: patches become frames, frames clips, clips the sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.blocks import init_lecun
from architecture.encoder import Features, Tokens
from architecture.geometry import Geometry
from architecture.level import Level
from architecture.summary_norm import SummaryNorm


@dataclass(frozen=True)
class Units:
    """The units of every level for a batch of windows; every axis of units is in the order of time."""

    patches_BTPD: Tensor
    """The patch tokens, with gradient to the stem."""
    summaries: dict[str, Tensor]
    """By name in `groups`, lowest first: `backbone` [B, T * P, D], `space` [B, T, D], `time` [B, C, D], `clip`
    [B, 1, D]."""
    states: dict[str, Tensor]
    """Every token of every unit, causal levels only: [B, G, N, D]; the state at n has seen tokens 0 to n."""
    tokens: dict[str, Tensor] = field(default_factory=dict)
    """The output for every token of every unit, of all levels, if asked for: [B, G, N, D]. Those of a causal level are
    its states; a patch is its own token, so that `backbone` has [B, T * P, 1, D]."""

    def chunk(self, parts: int) -> list[Units]:
        """The units of as many batches of the same size, which were encoded as one."""
        patches = self.patches_BTPD.chunk(parts)
        by_level = [_chunked(vectors, parts) for vectors in (self.summaries, self.states, self.tokens)]
        return [Units(*of_part) for of_part in zip(patches, *by_level, strict=True)]


class Reached(NamedTuple):
    """A level that an encoder has come to: see `HierarchicalTransformer.climb`."""

    name: str
    """The level's name."""
    summaries_BUD: Tensor
    """The summaries of its units."""
    tokens_BGND: Tensor
    """What became of the tokens of each unit; of `backbone`, the patches [B, T, P, D]."""
    is_causal: bool = False
    """Whether these are states, of which each has seen the tokens up to its own."""


def _chunked(vectors: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    """The same vectors by name, for each of as many batches of the same size."""
    chunks = {name: tensor.chunk(parts) for name, tensor in vectors.items()}
    return [{name: of_name[part] for name, of_name in chunks.items()} for part in range(parts)]


class HierarchicalTransformer(nn.Module):
    """The stem and the levels.

    What goes into a level that has one below is layer-normalised, so that it has one scale however the level below goes
    on learning. How gradient goes through it is the isolation's matter:

    * `strict`: not at all; a loss on the summaries of a level moves that level alone.
    * `overlap`: to the level directly below and no further (LoCo, Xiong et al., 2020, arXiv 2008.01342). For this, a
      level's input is computed a second time by the level below, from detached input. Dropout and stochastic depth are
      drawn anew then; the running statistics of a BatchNorm are not moved twice.
    * `end2end`: to everything below.

    A BatchNorm, in the stem or on summaries, makes all units of a batch depend on each other's statistics in training.

    Args:
        levels: keyword arguments of `Level` by name, lowest first, without `backbone`.
        geometry: its `groups` are the names whose units are given, lowest first: those of `levels`, maybe `backbone`
            before them. With `backbone`, patches are units of their own, and for the isolation the stem is a level
            below `space`; without it, the stem is part of `space`.
        stem: from video [B, T, C, H, W] to patches [B, T, P, `stem_dim`].
        stem_dim: width of the patches.
        next_token: whether causal levels learn by predicting the next token, so that the last state of a single unit
            learns nothing and is not its summary.
        weight_init: by level, `backbone` for the stem: `torch`, or `lecun`: see `init_lecun`.
        isolation: `strict`, `overlap` or `end2end`.
        interlevel_noise: standard deviation of Gaussian noise on the layer-normalised input of a level, in training
            (Siddiqui et al., 2023, arXiv 2302.01647).
        output_batchnorm: whether the summaries of every level go through a BatchNorm; see `SummaryNorm`.
        batchnorm_momentum: share of a new batch in that BatchNorm's running statistics.
    """

    def __init__(
        self,
        levels: dict[str, dict[str, Any]],
        *,
        geometry: Geometry,
        stem: nn.Module,
        stem_dim: int,
        weight_init: Mapping[str, str],
        next_token: bool,
        isolation: str,
        interlevel_noise: float,
        output_batchnorm: bool,
        batchnorm_momentum: float,
    ) -> None:
        super().__init__()
        self.geometry, self.groups = geometry, geometry.groups
        self.causal = frozenset(name for name, numbers in levels.items() if numbers["causal_mask"])
        self.isolation, self.interlevel_noise = isolation, interlevel_noise
        dims = {"backbone": stem_dim} | {name: numbers["dim"] for name, numbers in levels.items()}
        self.stem = stem
        self.levels = nn.ModuleDict(
            {
                name: Level(
                    dims[geometry.below(name)],
                    geometry.shape(name),
                    single_unit=next_token and geometry.units(name) == 1,
                    **numbers,
                )
                for name, numbers in levels.items()
            }
        )
        normed = self.groups if output_batchnorm else ()
        self.summary_norms = nn.ModuleDict({name: SummaryNorm(dims[name], batchnorm_momentum) for name in normed})
        for name, module in ({"backbone": stem} | dict(self.levels.items())).items():
            if weight_init[name] == "lecun":
                module.apply(init_lecun)

    def forward(self, video_BTCHW: Tensor) -> Features:
        """The summaries of every group, lowest first; see `Units`."""
        return self.encode(video_BTCHW).summaries

    def features_and_tokens(self, video_BTCHW: Tensor) -> tuple[Features, Tokens]:
        """The summaries [B, G, D] and the tokens [B, G, N, D] of every group, lowest first; see `Units`."""
        units = self.encode(video_BTCHW, tokens=True)
        return units.summaries, units.tokens

    def encode(
        self, video_BTCHW: Tensor, last: str | None = None, *, tokens: bool = False, keep_BTK: Tensor | None = None
    ) -> Units:
        """Encodes normalised windows.

        Args:
            video_BTCHW: [B, T, C, H, W] float; T is frames per clip times clips.
            last: the level to stop at; None: the last one.
            tokens: whether to keep the tokens of every level. A training that has no use for them should not: together
                they are as large as all that a level computes in one layer.
            keep_BTK: the numbers of the patches of each frame that `space` gets, ascending; None: all.
        """
        summaries: dict[str, Tensor] = {}
        states: dict[str, Tensor] = {}
        kept: dict[str, Tensor] = {}
        for reached in self.climb(video_BTCHW, keep_BTK=keep_BTK):
            name = reached.name
            if name == "backbone":
                patches_BTPD = reached.tokens_BGND
            if name in self.groups:
                summaries[name] = reached.summaries_BUD
                if tokens:
                    kept[name] = reached.tokens_BGND if name != "backbone" else reached.summaries_BUD[:, :, None]
            if reached.is_causal:
                states[name] = reached.tokens_BGND
            if name == last:  # views that no level above needs are not encoded further
                break
        return Units(patches_BTPD, summaries, states, kept)

    def climb(
        self, video_BTCHW: Tensor, windows: Mapping[str, int] | None = None, keep_BTK: Tensor | None = None
    ) -> Iterator[Reached]:
        """The units of one level after the other, lowest first, each computed when it is asked for.

        The patches come first, as `backbone`, also where `groups` does not name it. Nothing of a level is kept alive
        while those above it are computed, but for its input in `overlap` and `end2end`.

        Args:
            video_BTCHW: normalised windows.
            windows: how many of them, the first ones, go as far as each level; None: all go to the last one.
            keep_BTK: the numbers of the patches of each frame that `space` gets, ascending; None: all.
        """
        inside_BGND = self._normed("backbone", self.stem(video_BTCHW))
        below, summaries_BUD = "backbone", inside_BGND.flatten(1, 2)
        yield Reached(below, summaries_BUD, inside_BGND)
        for name in self.levels:
            if windows is not None:
                inside_BGND, summaries_BUD = inside_BGND[: windows[name]], summaries_BUD[: windows[name]]
                keep_BTK = None if keep_BTK is None else keep_BTK[: windows[name]]
                if not windows[name]:
                    return
            if below in self.groups:
                passed_BUD = self._passed_up(below, inside_BGND, summaries_BUD, keep_BTK)
                inside_BGND = passed_BUD.unflatten(1, (-1, self.geometry.tokens(name)))
            summaries_BUD, tokens_BGND = self._run(name, inside_BGND, keep_BTK)
            reached = Reached(name, summaries_BUD, tokens_BGND, name in self.causal)
            del tokens_BGND
            yield reached
            del reached
            below = name

    def _run(
        self, name: str, inside_BGND: Tensor, keep_BTK: Tensor | None, *, again: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Summaries [B, G, D] and tokens [B, G, N, D] of a level; `keep_BTK` is for `space` alone.

        A BatchNorm is for the summaries; the states of a causal level go through it together, as its summaries are
        some of them. Tokens of other levels are as the level's own norm leaves them.
        """
        level: Level = self.levels[name]  # type: ignore[assignment]
        kept = () if keep_BTK is None or name != "space" else (keep_BTK,)
        summaries_BGD, tokens_BGND = level(inside_BGND, *kept)
        if name not in self.causal:
            return self._normed(name, summaries_BGD, again=again), tokens_BGND
        states_BGND = self._normed(name, tokens_BGND, again=again)
        return states_BGND[:, :, level.summary_position], states_BGND

    def _normed(self, name: str, units: Tensor, *, again: bool = False) -> Tensor:
        """Any shape [..., D], through the level's BatchNorm where it has one."""
        if name not in self.summary_norms:
            return units
        normed: Tensor = self.summary_norms[name](units, update=not again)
        return normed

    def _passed_up(self, below: str, inside_BGND: Tensor, summaries_BUD: Tensor, keep_BTK: Tensor | None) -> Tensor:
        """The input that level `below` hands to the level above it: [B, U, D].

        Args:
            below: its name.
            inside_BGND: what it was computed from; for the lowest level, the patches.
            summaries_BUD: its summaries.
            keep_BTK: see `encode`.
        """
        lowest = below == self.groups[0]  # nothing below it, so gradient stops there by itself
        if self.isolation == "strict":
            summaries_BUD = summaries_BUD.detach()
        elif self.isolation == "overlap" and not lowest and torch.is_grad_enabled():
            # From detached input, so that gradient reaches the level directly below and stops there.
            summaries_BUD, _ = self._run(below, inside_BGND.detach(), keep_BTK, again=True)
        # Without weights of its own: they would belong to neither level. The noise then has one scale at every level.
        passed_BUD = F.layer_norm(summaries_BUD, summaries_BUD.shape[-1:])
        if self.training and self.interlevel_noise:
            passed_BUD = passed_BUD + self.interlevel_noise * torch.randn_like(passed_BUD)
        return passed_BUD

    def level_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each group by name, lowest first, each once; the stem's are the lowest group's."""
        parameters = {name: list(self.levels[name].parameters()) if name in self.levels else [] for name in self.groups}
        parameters[self.groups[0]].extend(self.stem.parameters())
        for name, norm in self.summary_norms.items():
            parameters[name].extend(norm.parameters())
        return parameters
