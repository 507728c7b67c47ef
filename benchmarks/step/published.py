"""The training step with the structure of the published implementation, made of this project's parts.

What differs from ours, and nothing else does: gradient flows from every level into those below and into targets; every
level's loss has a backward of its own through the graph that all of them share; attention makes its matrix; the stem is
convolved in 3-D; the loss of each level is waited for.
"""

from __future__ import annotations

from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torchvision.ops import Conv3dNormActivation

from architecture.blocks import Attention
from architecture.stem import ConvStem
from tasks.hierarchical import HierarchicalTask

SHARED_GRAPH = ("hierarchical.isolation=end2end", "hierarchical.detach_targets=false", "level_backward=early")
ONE_BACKWARD = (*SHARED_GRAPH[:2], "level_backward=sum", "use_single_optimizer=true")


class ExplicitAttention(nn.Module):
    """Attention by its matrix [B, H, N, N], with the weights of `Attention`."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.causal = attention.heads, attention.causal
        self.to_qkv, self.to_out = attention.to_qkv, attention.to_out

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        split = partial(rearrange, pattern="b n (h d) -> b h n d", h=self.heads)
        q, k, v = (split(part) for part in self.to_qkv(tokens_BND).chunk(3, dim=-1))
        scores_BHNN = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if self.causal:
            later = torch.ones(scores_BHNN.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
            scores_BHNN = scores_BHNN.masked_fill(later, -torch.inf)
        mixed_BHND = scores_BHNN.softmax(dim=-1) @ v
        output_BND: Tensor = self.to_out(rearrange(mixed_BHND, "b h n d -> b n (h d)"))
        return output_BND


def convolved_in_3d(stem: ConvStem) -> nn.Sequential:
    """The layers of a spatial stem as 3-D convolutions, with its weights."""
    conv = partial(Conv3dNormActivation, norm_layer=nn.BatchNorm3d)
    layers = nn.Sequential(
        conv(3, 64, kernel_size=(1, 7, 7), stride=(1, 2, 2)),
        nn.Identity(),
        nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        conv(64, 64, kernel_size=1),
        conv(64, 192, kernel_size=(1, 3, 3)),
        nn.Identity(),
        nn.MaxPool3d((1, 3, 3), stride=1, padding=(0, 1, 1)),
    )
    layers.load_state_dict(stem.layers.state_dict())
    return layers


def as_published(task: HierarchicalTask) -> None:
    """Gives a task explicit attention, and where its stem is convolutional, 3-D convolutions."""
    for module in list(task.modules()):
        if isinstance(attention := getattr(module, "attention", None), Attention):
            module.attention = ExplicitAttention(attention)
    stem = task.hierarchy.stem
    if isinstance(stem, ConvStem):
        layers = convolved_in_3d(stem)
        stem.layers = layers
        stem._convolved = lambda video_BTCHW: layers(video_BTCHW.transpose(1, 2)).transpose(1, 2)  # type: ignore[method-assign]


def wait_for_losses(task: HierarchicalTask) -> None:
    """Has every level's losses read before its backward."""
    original = task.losses_by_level

    def waited(*arguments: object) -> object:
        for level, terms in original(*arguments):  # type: ignore[arg-type]
            for term in terms.values():
                term.item()
            yield level, terms

    task.losses_by_level = waited  # type: ignore[method-assign, assignment]
