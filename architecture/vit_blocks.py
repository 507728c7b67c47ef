"""The block of the joint space-time transformer and of masked decoders, with the options of published masked encoders.

`architecture/blocks.py` has the block of the hierarchy's levels, which looks alike: it is another one, whose random
numbers and weights old runs depend on.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

Norm = Literal["layer", "rms"]
MLP = Literal["gelu", "swiglu"]


def init_xavier(module: nn.Module) -> None:
    """Draws the weights of a linear layer anew, uniformly by Xavier's rule, with biases 0, as MAE begins.

    He et al., 2022, arXiv 2111.06377; the rule: Glorot and Bengio, 2010.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_token(token: nn.Parameter) -> nn.Parameter:
    """Draws a learned token anew, normal with standard deviation 0.02."""
    nn.init.normal_(token, std=0.02)
    return token


def make_norm(kind: Norm, dim: int) -> nn.Module:
    """LayerNorm, or RMSNorm (Zhang and Sennrich, 2019, arXiv 1910.07467), which neither centres nor shifts."""
    return nn.LayerNorm(dim, eps=1e-6) if kind == "layer" else nn.RMSNorm(dim, eps=1e-8)


class JointAttention(nn.Module):
    """Multi-head self-attention in which some tokens may be hidden from others.

    Args:
        dim: width of the tokens, a multiple of `heads`.
        heads: attention heads.
        qkv_bias: whether queries, keys and values have a bias.
    """

    def __init__(self, dim: int, heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, tokens_BND: Tensor, shown: Tensor | None = None) -> Tensor:
        """[B, N, D] to [B, N, D].

        Args:
            tokens_BND: each asks all tokens that are shown to it.
            shown: bool, of a shape that broadcasts to [B, heads, N (who asks), N (who is asked)]: [B, 1, 1, N] hides
                padded tokens from everyone. Every token must be shown another one. None: all see all.
        """
        q, k, v = rearrange(self.to_qkv(tokens_BND), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed_BHND = F.scaled_dot_product_attention(q, k, v, attn_mask=shown)
        output_BND: Tensor = self.to_out(rearrange(mixed_BHND, "b h n d -> b n (h d)"))
        return output_BND


class SwiGLU(nn.Module):
    """An MLP whose hidden units are gated by SiLU of others (Shazeer, 2020, arXiv 2002.05202).

    The hidden width is not shrunk to two thirds: it has half as many weights again as a GELU one of the same width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.to_hidden, self.to_out = nn.Linear(dim, 2 * hidden), nn.Linear(hidden, dim)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        value, gate = self.to_hidden(tokens_BND).chunk(2, dim=-1)
        output_BND: Tensor = self.to_out(value * F.silu(gate))
        return output_BND


class LayerScale(nn.Module):
    """A factor for each channel of what a branch adds (Touvron et al., 2021, arXiv 2103.17239)."""

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.scale_D = nn.Parameter(torch.full((dim,), initial))

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        return tokens_BND * self.scale_D


class ViTBlock(nn.Module):
    """Pre-norm attention and MLP, each a residual branch of its own (ViT, Dosovitskiy et al., 2021, arXiv 2010.11929).

    Args:
        dim: width of the tokens.
        heads: attention heads.
        mlp_dim: hidden width of the MLP.
        norm: `layer` or `rms`.
        mlp: `gelu` or `swiglu`.
        qkv_bias: whether queries, keys and values have a bias.
        layer_scale: initial factor of what each branch adds; None: without LayerScale.
        skip: chance of a sample to skip a branch in training (stochastic depth, Huang et al., 2016, arXiv 1603.09382).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_dim: int,
        *,
        norm: Norm,
        mlp: MLP,
        qkv_bias: bool,
        layer_scale: float | None,
        skip: float = 0.0,
    ) -> None:
        super().__init__()
        self.skip = skip
        self.attention_norm, self.mlp_norm = make_norm(norm, dim), make_norm(norm, dim)
        self.attention = JointAttention(dim, heads, qkv_bias)
        self.mlp: nn.Module = SwiGLU(dim, mlp_dim)
        if mlp == "gelu":
            self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim))
        self.attention_scale, self.mlp_scale = (
            nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale) for _ in range(2)
        )

    def forward(self, tokens_BND: Tensor, shown: Tensor | None = None) -> Tensor:
        """[B, N, D] to [B, N, D]; `shown`: see `JointAttention.forward`."""
        attended_BND = self.attention(self.attention_norm(tokens_BND), shown)
        mixed_BND = tokens_BND + self._kept(self.attention_scale(attended_BND))
        return mixed_BND + self._kept(self.mlp_scale(self.mlp(self.mlp_norm(mixed_BND))))

    def _kept(self, branch_BND: Tensor) -> Tensor:
        """What a branch adds: in training, nothing for some samples, and more for the others."""
        if not (self.training and self.skip):
            return branch_BND
        from torchvision.ops import stochastic_depth  # its import takes seconds, and most runs do without it

        kept_BND: Tensor = stochastic_depth(branch_BND, self.skip, "row")
        return kept_BND
