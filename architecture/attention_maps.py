"""The weights by which a level's summary is made of its tokens, for looking at: training and evaluation do without.

`scaled_dot_product_attention` never shows its weights. Here they are computed again from what goes into it, beside a
forward pass that stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn

from architecture.blocks import Attention
from architecture.encoder import Features
from architecture.hierarchy import HierarchicalTransformer
from architecture.joint_transformer import JointTransformer
from architecture.level import Level
from architecture.vit_blocks import JointAttention


@dataclass(frozen=True)
class SummaryAttention:
    """How much each of the N tokens of every unit counts for the unit's summary."""

    last_BGN: Tensor
    """The weights of the last block, as the mean over its heads. What a CLS token gives itself is left out, so that
    they sum to 1 or less."""
    rollout_BGN: Tensor
    """The same through all blocks (attention rollout, Abnar and Zuidema, 2020, arXiv 2005.00928): the product of
    (weights + identity) / 2 of every block, where the identity stands for the residual connection."""


def attention_weights(attention: Attention | JointAttention, tokens_BND: Tensor) -> Tensor:
    """The weights with which `attention` mixes these tokens in evaluation: [B, heads, N, N], float32; rows sum to 1.

    Args:
        attention: of a block.
        tokens_BND: what goes into it.
    """
    q, k, _ = rearrange(attention.to_qkv(tokens_BND), "b n (three h d) -> three b h n d", three=3, h=attention.heads)
    scores = q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5
    if isinstance(attention, Attention) and attention.causal:
        later_NN = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later_NN, -torch.inf)
    weights: Tensor = scores.softmax(dim=-1)
    return weights


@torch.no_grad()
def summary_attention(hierarchy: HierarchicalTransformer, video_BTCHW: Tensor) -> dict[str, SummaryAttention]:
    """What the summaries of every level look at; the network is left in the mode that it was in.

    Args:
        hierarchy: in whatever mode; it is asked in evaluation mode.
        video_BTCHW: normalised windows.

    Returns:
        By level, lowest first; `backbone`, which joins nothing, has none.
    """
    levels: dict[str, Level] = dict(hierarchy.levels.items())  # type: ignore[arg-type]
    summaries, kept = _encoded(hierarchy, video_BTCHW, {name: level.blocks for name, level in levels.items()})
    return {name: _of_summary(levels[name], kept[name], summaries[name].shape[:2]) for name in levels}


@torch.no_grad()
def feature_attention(network: JointTransformer, video_BTCHW: Tensor) -> SummaryAttention:
    """What the features of a joint transformer look at, by tubelet: N of them, in a single unit.

    Where the features are the mean of all tokens, it is the mean of what these look at.

    Args:
        network: in whatever mode; it is asked in evaluation mode, and left as it was.
        video_BTCHW: normalised windows.
    """
    _, kept = _encoded(network, video_BTCHW, {network.level: network.blocks})
    weights = kept[network.level]
    first = int(network.cls_D is not None)
    rows = slice(0, 1) if network.features == "cls" else slice(first, None)
    maps = (weights[-1], _rolled(weights))
    last_B1N, rollout_B1N = (map_BNN[:, rows, first:].mean(dim=1, keepdim=True) for map_BNN in maps)
    return SummaryAttention(last_B1N, rollout_B1N)


def _encoded(
    network: HierarchicalTransformer | JointTransformer, video_BTCHW: Tensor, blocks: Mapping[str, Iterable[nn.Module]]
) -> tuple[Features, dict[str, list[Tensor]]]:
    """The features in evaluation mode, and beside them the weights of each block, see `_weights_kept`."""
    was_training = network.training
    network.eval()
    try:
        with _weights_kept(blocks) as kept:
            return network(video_BTCHW), kept
    finally:
        network.train(was_training)


@contextmanager
def _weights_kept(blocks: Mapping[str, Iterable[nn.Module]]) -> Iterator[dict[str, list[Tensor]]]:
    """By level, the weights [units, N, N] of each block in the forward pass that follows, as the mean over heads."""
    kept: dict[str, list[Tensor]] = {name: [] for name in blocks}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], name: str) -> None:
        assert isinstance(module, Attention | JointAttention)
        kept[name].append(attention_weights(module, inputs[0]).mean(dim=1))

    handles = [
        block.attention.register_forward_pre_hook(partial(keep, name=name))  # type: ignore[union-attr]
        for name, of_level in blocks.items()
        for block in of_level
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _of_summary(level: Level, weights: Sequence[Tensor], units: Sequence[int]) -> SummaryAttention:
    """The rows of the summary.

    Args:
        level: whose summary it is.
        weights: of each block, [B * G, N, N].
        units: (B, G).
    """
    # A CLS token stands before the tokens; the summary of a causal level is one of them.
    row, first = (level.summary_position, 0) if level.causal else (0, 1)
    last_BGN, rollout_BGN = (
        maps[:, row, first:].unflatten(0, tuple(units)) for maps in (weights[-1], _rolled(weights))
    )
    return SummaryAttention(last_BGN, rollout_BGN)


def _rolled(weights: Sequence[Tensor]) -> Tensor:
    """The weights of all blocks as one map [U, N, N], see `SummaryAttention.rollout_BGN`."""
    rolled_UNN = torch.eye(weights[0].shape[-1], device=weights[0].device)
    for weights_UNN in weights:
        rolled_UNN = (weights_UNN @ rolled_UNN + rolled_UNN) / 2
    return rolled_UNN
