"""The transformer block that every level is made of."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def init_lecun(module: nn.Module) -> None:
    """Draws the weights of a linear layer or a convolution anew, to keep the variance of what goes through them.

    Normal of variance 1 / inputs, biases 0 (LeCun et al., 1998, "Efficient BackProp"); torch's own are a third of that.
    """
    if isinstance(module, nn.Linear | nn.Conv3d):
        inputs = module.weight[0].numel()
        nn.init.normal_(module.weight, std=inputs**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017, arXiv 1706.03762).

    Args:
        dim: width of the tokens.
        heads: attention heads.
        head_dim: width of a head.
        dropout: on the attention's weights and on what comes out.
        causal: whether a token sees only itself and those before it.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.to_qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, dim)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Mixes the N tokens of each unit; [B, N, D] to [B, N, D]."""
        q, k, v = rearrange(self.to_qkv(tokens_BND), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=self.causal)
        return F.dropout(self.to_out(rearrange(mixed, "b h n d -> b n (h d)")), self.dropout, self.training)


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a residual connection; in training, units may skip both together.

    Args:
        dim: width of the tokens.
        heads: attention heads.
        head_dim: width of a head.
        mlp_dim: hidden width of the MLP.
        dropout: after attention and MLP.
        causal: whether attention is.
        skip: chance of a unit to skip the block (stochastic depth, Huang et al., 2016, arXiv 1603.09382). What the
            block adds to the other units is scaled by 1 / (1 - skip): its expectation is what evaluation adds.
    """

    def __init__(
        self, dim: int, heads: int, head_dim: int, mlp_dim: int, dropout: float, *, causal: bool, skip: float
    ) -> None:
        super().__init__()
        self.skip = skip
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, head_dim, dropout, causal)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, dim), nn.Dropout(dropout)
        )

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """[B, N, D] to [B, N, D]."""
        mixed_BND = tokens_BND + self.attention(self.attention_norm(tokens_BND))
        output_BND: Tensor = mixed_BND + self.mlp(self.mlp_norm(mixed_BND))
        if self.training and self.skip:
            from torchvision.ops import stochastic_depth  # its import takes seconds, and most runs do without it

            output_BND = tokens_BND + stochastic_depth(output_BND - tokens_BND, self.skip, "row")
        return output_BND
